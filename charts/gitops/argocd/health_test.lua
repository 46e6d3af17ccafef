-- lua5.1 charts/gitops/argocd/health_test.lua: health.lua, run as Argo CD runs it. Argo CD has Lua 5.1.

local folder = arg[0]:match("^(.*)/[^/]*$") or "."
local chunk = assert(loadfile(folder .. "/health.lua"))

local function condition(kind, status, message)
  return { type = kind, status = status, reason = "Tested", message = message }
end

local function object(generation, observed, conditions, deleted)
  return {
    apiVersion = "kubelns.io/v1alpha1",
    kind = "LnsCluster",
    metadata = { name = "edge", generation = generation, deletionTimestamp = deleted },
    status = { observedGeneration = observed, conditions = conditions },
  }
end

local ready = condition("Ready", "True", "3 of 3 members are ready")
local unready = condition("Ready", "False", "no master")
local at_work = condition("Reconciling", "True", "replacing edge-lnsd-x1")
local idle = condition("Reconciling", "False", "")
local stalled = condition("Stalled", "True", "spec.store: is missing")
local not_stalled = condition("Stalled", "False", "")
local paused = condition("Paused", "True", "by annotation")
local deleted = "2030-01-01T00:00:00Z"

local bare = object(1)
bare.status = nil

local cases = {
  { "no status yet", bare, "Progressing", "The operator has not seen this generation yet" },
  { "the default of the schema", object(1, -1), "Progressing", "The operator has not seen this generation yet" },
  { "ready", object(2, 2, { ready, idle, not_stalled }), "Healthy", "3 of 3 members are ready" },
  { "ready, of an older generation", object(3, 2, { ready }), "Progressing", "The operator has not seen this generation yet" },
  { "stalled, of an older generation", object(3, 2, { unready, stalled }), "Progressing", "The operator has not seen this generation yet" },
  { "stalled", object(2, 2, { unready, stalled }), "Degraded", "spec.store: is missing" },
  { "stalled, and paused too", object(2, 2, { unready, stalled, paused }), "Degraded", "spec.store: is missing" },
  { "at work, and ready still", object(2, 2, { ready, at_work }), "Progressing", "replacing edge-lnsd-x1" },
  { "paused", object(2, 2, { ready, paused }), "Suspended", "by annotation" },
  { "paused, at work before", object(2, 2, { at_work, paused }), "Suspended", "by annotation" },
  { "paused, of an older generation", object(3, 2, { ready, paused }), "Suspended", "by annotation" },
  { "not ready", object(2, 2, { unready, idle }), "Progressing", "no master" },
  { "unknown", object(2, 2, { condition("Ready", "Unknown", "") }), "Progressing", "It is not ready yet" },
  { "no conditions", object(2, 2, {}), "Progressing", "It is not ready yet" },
  { "being deleted", object(3, 3, { ready }, deleted), "Progressing", "It is being deleted" },
  { "cannot be deleted", object(3, 3, { stalled }, deleted), "Degraded", "spec.store: is missing" },
}

local failed = 0
for _, case in ipairs(cases) do
  local name, given, status, message = unpack(case)
  -- Nothing but the object, and what Argo CD leaves of the libraries.
  setfenv(chunk, { obj = given, ipairs = ipairs, pairs = pairs, string = string, table = table, math = math })
  local got = chunk()
  if got.status ~= status or got.message ~= message then
    failed = failed + 1
    print(("FAIL  %s: %s (%s), not %s (%s)"):format(name, got.status, got.message, status, message))
  end
end
print(("%d passed, %d failed"):format(#cases - failed, failed))
os.exit(failed == 0 and 0 or 1)
