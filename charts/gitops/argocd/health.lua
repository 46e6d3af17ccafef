-- What Argo CD shows for an LnsCluster or a SessionPolicy. Argo CD runs it with the object in `obj`.
--
--   not seen yet, Reconciling, being deleted    Progressing  the operator is at work
--   Stalled                                     Degraded     somebody has to change something
--   Paused                                      Suspended    somebody has said that it should not be
--   Ready                                       Healthy
--   anything else                               Progressing  it becomes Ready by itself, or Stalled

local status = obj.status or {}

local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end

local function is(kind)
  return conditions[kind] ~= nil and conditions[kind].status == "True"
end

local function health(word, kind, otherwise)
  local message = conditions[kind] and conditions[kind].message
  if message == nil or message == "" then
    message = otherwise
  end
  return { status = word, message = message }
end

if obj.metadata.deletionTimestamp ~= nil then
  if is("Stalled") then
    return health("Degraded", "Stalled", "It cannot be deleted")
  end
  return { status = "Progressing", message = "It is being deleted" }
end
-- What is said of an older generation says nothing of this one; but while it is paused, nobody looks at this one.
if status.observedGeneration ~= obj.metadata.generation then
  if is("Paused") then
    return health("Suspended", "Paused", "The operator leaves it as it is")
  end
  return { status = "Progressing", message = "The operator has not seen this generation yet" }
end
if is("Stalled") then
  return health("Degraded", "Stalled", "Somebody has to change something")
end
if is("Paused") then
  return health("Suspended", "Paused", "The operator leaves it as it is")
end
if is("Reconciling") then
  return health("Progressing", "Reconciling", "The operator is at work")
end
if is("Ready") then
  return health("Healthy", "Ready", "It is as it should be")
end
return health("Progressing", "Ready", "It is not ready yet")
