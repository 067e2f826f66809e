-- What is due: read for the leader, who keeps its lease by it. Changes no entry.
--
-- KEYS: 1 lock (the schedule where there is no lock), 2 schedule, 3 triggers
-- ARGV: 1 the caller's token; '' runs without a lock
--       2 length of the lease, milliseconds
--       3 now, Unix seconds
--       4 how many entries at most
--       5 how many that are due are passed over: they are being dispatched already, and so are
--         the requests
--       6... pairs of key and digest: entries the caller cannot run and has seen like that;
--            they are passed over while their content has that digest ('': anyway)
-- Returns {'lost', holder} or {'ok', next due score or false, JSON}: in one text, which a client
--   reads much faster than thousands of replies, a list of the entries, {key,
--   {score, 'ok' | 'fault', fields...}}, and one of the requests, {stream id, request or false,
--   its age in milliseconds}; a fourth element says why the requests cannot be read.
local lock, schedule, triggers = KEYS[1], KEYS[2], KEYS[3]
if ARGV[1] ~= '' then
  local holder = redis.call('GET', lock)
  if holder ~= ARGV[1] then
    return {'lost', holder}
  end
  redis.call('PEXPIRE', lock, ARGV[2])
end

local known = {}
local skipping = 0
for i = 6, #ARGV, 2 do
  known[ARGV[i]] = ARGV[i + 1]
  skipping = skipping + 1
end

local limit = tonumber(ARGV[4])
local due = redis.call(
  'ZRANGEBYSCORE', schedule, 0, ARGV[3], 'LIMIT', ARGV[5], limit + skipping)
local entries = {}
for _, key in ipairs(due) do
  local digest = known[key]
  local loaded = digest ~= '' and load_entry(key, schedule, FIELDS)
  if digest and loaded then
    local parts = {}
    for i = 1, 1 + #FIELDS do
      parts[i] = loaded[i + 1] or ''
    end
    if redis.sha1hex(table.concat(parts, '\0')) == digest then
      loaded = nil
    end
  end
  if loaded and #entries < limit then
    entries[#entries + 1] = {key, loaded}
  end
end

local upcoming = redis.call(
  'ZRANGEBYSCORE', schedule, '(' .. ARGV[3], '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local requests = {}
if ARGV[5] ~= '0' then
  return {'ok', upcoming[2] or false, cjson.encode({entries, requests})}
end
local waiting = redis.pcall('XRANGE', triggers, '-', '+', 'COUNT', limit + skipping)
if waiting.err then
  return {'ok', upcoming[2] or false, cjson.encode({entries, requests}), waiting.err}
end
if #waiting > 0 then
  -- The age by one clock: a request's place tells when it came.
  local clock = redis.call('TIME')
  local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
  for _, message in ipairs(waiting) do
    local text = false
    for i = 1, #message[2], 2 do
      if message[2][i] == 'request' then
        text = message[2][i + 1]
      end
    end
    requests[#requests + 1] = {message[1], text, now - tonumber(string.match(message[1], '^%d+'))}
  end
end
return {'ok', upcoming[2] or false, cjson.encode({entries, requests})}
