-- Record how a run went, as its worker says, unless a newer run has reported already.
--
-- KEYS: 1 entry hash, 2 log, 3 events channel
-- ARGV: 1 length of the log
--       2 the outcome: JSON with `at` (Unix seconds) and `task_id`
--       3 head of the event: JSON without data and brace
--       4 more members of the event's data, as JSON members without braces
-- Returns 1 when recorded, 0 when the entry is gone or has a newer outcome.
if redis.call('HEXISTS', KEYS[1], 'definition') == 0 then
  return 0
end
local new = cjson.decode(ARGV[2])
local known, old = pcall(cjson.decode, redis.call('HGET', KEYS[1], 'outcome') or '')
if known and type(old) == 'table' and old.task_id ~= new.task_id
    and (tonumber(old.run_at) or 0) > (tonumber(new.run_at) or 0) then
  return 0
end
redis.call('HSET', KEYS[1], 'outcome', ARGV[2])
local data = ',"data":{"fields":{"outcome":' .. cjson.encode(ARGV[2]) .. '},' .. ARGV[4] .. '}'
emit(KEYS[2], KEYS[3], ARGV[1], last_seq(KEYS[2]), ARGV[3] .. data)
return 1
