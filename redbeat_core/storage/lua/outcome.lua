-- Tell how a run went, as its worker says, and keep it as the entry's outcome, unless a newer run
-- (or a later attempt of the same) has reported already: reports overtake each other.
--
-- KEYS: 1 entry hash, 2 log, 3 events channel
-- ARGV: 1 length of the log
--       2 the outcome: JSON with `task_id`, `attempt` and `run_at` (Unix seconds)
--       3 head of the event: JSON without data and brace
--       4 more members of the event's data, as JSON members without braces
-- Returns 1 when kept, 0 when a newer one is there or the entry is gone (then nothing is told).
if redis.call('HEXISTS', KEYS[1], 'definition') == 0 then
  return 0
end
local new = cjson.decode(ARGV[2])
local known, old = pcall(cjson.decode, redis.call('HGET', KEYS[1], 'outcome') or '')
local kept = 1
if known and type(old) == 'table' then
  local member = old.task_id == new.task_id and 'attempt' or 'run_at'
  if (tonumber(old[member]) or 0) > (tonumber(new[member]) or 0) then
    kept = 0
  end
end
local data = ARGV[4]
if kept == 1 then
  redis.call('HSET', KEYS[1], 'outcome', ARGV[2])
  data = '"fields":{"outcome":' .. cjson.encode(ARGV[2]) .. '},' .. data
end
emit(KEYS[2], KEYS[3], ARGV[1], last_seq(KEYS[2]), ARGV[3] .. ',"data":{' .. data .. '}')
return kept
