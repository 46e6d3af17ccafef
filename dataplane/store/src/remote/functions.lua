#!lua name=lns
-- Session records of kubelns in Redis: what is written is written here, fenced by epoch and holder.
--
-- Arguments are only ever added behind those that are there, and what a function once accepted it goes
-- on accepting: while a cluster is upgraded, the release before calls this library, too. A change that
-- cannot be made that way gets another name. VERSION grows with every change.
--
-- A record is a string "<epoch>-<seq> <blob>": its mark in front, so that it protects itself when the
-- fence was lost. Numbers are compared as numbers, which Lua knows exactly below 2^53, and handed on as
-- the text they came as.

local VERSION = 3

-- The mark of a record as two texts; zeros where there is none.
local function mark(record)
  local epoch, seq = string.match(redis.call('GETRANGE', record, 0, 33), '^(%d+)%-(%d+) ')
  return epoch or '0', seq or '0'
end

-- Whether (epoch, seq) is not after (other_epoch, other_seq).
local function stale(epoch, seq, other_epoch, other_seq)
  local e, o = tonumber(epoch), tonumber(other_epoch)
  return e < o or (e == o and tonumber(seq) <= tonumber(other_seq))
end

-- The last id that the stream gave out.
local function last(stream)
  local info = redis.pcall('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      return string.match(info[i + 1], '^(%d+)%-(%d+)$')
    end
  end
  return '0', '0'
end

-- The refusal of who does not hold.
local function fenced(fence, epoch, holder)
  local f = redis.call('HMGET', fence, 'epoch', 'holder')
  if not f[1] or tonumber(epoch) ~= tonumber(f[1]) or holder ~= f[2] then
    return redis.error_reply('NOTHOLDER ' .. (f[1] or '-') .. ' ' .. (f[2] or '-'))
  end
end

-- Appends an entry under the id <epoch>-<seq>. The refusal, if that is not a new one: the stream is a
-- fence, too.
local function append(stream, maxlen, epoch, seq, ...)
  local added = redis.pcall('XADD', stream, 'MAXLEN', '~', maxlen, epoch .. '-' .. seq, ...)
  if type(added) == 'table' and added.err then
    local last_epoch, last_seq = last(stream)
    if stale(epoch, seq, last_epoch, last_seq) then
      return redis.error_reply('STALEID ' .. last_epoch .. '-' .. last_seq)
    end
    return added
  end
end

local function now()
  local time = redis.call('TIME')
  return time[1] .. '.' .. time[2]
end

-- One record, of who holds the fence. The refusal.
local function store(record, stream, maxlen, epoch, seq, path, blob)
  local e, s = mark(record)
  if stale(epoch, seq, e, s) then return redis.error_reply('STALESEQ ' .. e .. '-' .. s) end
  local refused = append(stream, maxlen, epoch, seq, 'k', path, 'v', blob)
  if refused then return refused end
  redis.call('SET', record, epoch .. '-' .. seq .. ' ' .. blob)
end

-- keys: fence, record, stream; args: epoch, seq, holder, path, maxlen, blob
local function put(keys, args)
  local refused = fenced(keys[1], args[1], args[3])
    or store(keys[2], keys[3], args[5], args[1], args[2], args[4], args[6])
  return refused or redis.status_reply('OK')
end

-- Many at once: what comes before one that is refused is stored.
-- keys: fence, stream, records...; args: epoch, holder, maxlen, then of each record: seq, path, blob
local function put_all(keys, args)
  local refused = fenced(keys[1], args[1], args[2])
  for i = 3, #keys do
    if refused then return refused end
    local at = 3 * (i - 2) + 1
    refused = store(keys[i], keys[2], args[3], args[1], args[at], args[at + 1], args[at + 2])
  end
  return refused or redis.status_reply('OK')
end

-- keys: fence, record, stream; args: epoch, seq, holder, path, maxlen
local function forget(keys, args)
  local refused = fenced(keys[1], args[1], args[3])
  if refused then return refused end
  if redis.call('EXISTS', keys[2]) == 0 then return redis.status_reply('ABSENT') end
  local e, s = mark(keys[2])
  if stale(args[1], args[2], e, s) then return redis.error_reply('STALESEQ ' .. e .. '-' .. s) end
  refused = append(keys[3], args[5], args[1], args[2], 'f', args[4])
  if refused then return refused end
  redis.call('DEL', keys[2])
  return redis.status_reply('OK')
end

-- AGAIN: the fence had this epoch and holder already.
-- keys: fence, stream; args: epoch, seq, holder, owner, the beat that was seen, maxlen, roster
local function claim(keys, args)
  local f = redis.call('HMGET', keys[1], 'epoch', 'holder', 'owner', 'beat')
  if f[3] and f[3] ~= args[4] and (f[4] or '') ~= args[5] then
    return redis.error_reply('OTHEROWNER ' .. (f[4] or '') .. ' ' .. f[3])
  end
  local e, cur = tonumber(args[1]), tonumber(f[1] or '0')
  if e < cur or (e == cur and f[2] and f[2] ~= args[3]) then
    return redis.error_reply('STALEEPOCH ' .. f[1] .. ' ' .. (f[2] or '-'))
  end
  local refused = append(keys[2], args[6], args[1], args[2], 'c', args[3], 'r', args[7])
  if refused then return refused end
  redis.call('HSET', keys[1], 'epoch', args[1], 'holder', args[3], 'owner', args[4], 'beat', now(),
    'roster', args[7])
  return redis.status_reply(e == cur and f[2] and 'AGAIN' or 'OK')
end

-- keys: fence; args: epoch, holder
local function beat(keys, args)
  local refused = fenced(keys[1], args[1], args[2])
  if refused then return refused end
  redis.call('HSET', keys[1], 'beat', now())
  return redis.status_reply('OK')
end

-- Deletes keys of a cluster, for its owner. Nobody's are whoever's asks.
-- keys: fence, others...; args: owner
local function erase(keys, args)
  local f = redis.call('HMGET', keys[1], 'owner', 'beat')
  if f[1] and f[1] ~= args[1] then
    return redis.error_reply('OTHEROWNER ' .. (f[2] or '') .. ' ' .. f[1])
  end
  for i = 2, #keys do redis.call('DEL', keys[i]) end
  return redis.status_reply('OK')
end

-- A full server still takes what makes room and what holds the fence.
local function register(name, callback, ...)
  redis.register_function{function_name = name, callback = callback, flags = {...}}
end

register('lns_put', put)
register('lns_put_all', put_all)
register('lns_forget', forget, 'allow-oom')
register('lns_claim', claim, 'allow-oom')
register('lns_beat', beat, 'allow-oom')
register('lns_erase', erase, 'allow-oom')
register('lns_version', function() return VERSION end, 'no-writes')
