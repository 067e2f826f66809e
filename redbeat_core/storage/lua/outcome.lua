-- Emit a worker's report about a run, and store it as the entry's outcome, unless a newer run (or a
-- later attempt of the same run) has reported already: reports can arrive out of order.
--
-- KEYS: 1 entry hash, 2 log, 3 events channel
-- ARGV: 1 length of the log
--       2 the outcome: JSON with `task_id`, `attempt` and `run_at` (Unix seconds)
--       3 head of the event: JSON without data and brace
--       4 more members of the event's data, as JSON members without braces
-- Returns 1 if stored, 0 if a newer report exists (the event is emitted) or if the entry does not
--   exist (no event).
if redis.call('HEXISTS', KEYS[1], 'definition') == 0 then
  return 0
end
local new = cjson.decode(ARGV[2])
local parsed, old = pcall(cjson.decode, redis.call('HGET', KEYS[1], 'outcome') or '')
local kept = 1
if parsed and type(old) == 'table' then
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
