-- Queue a run-now request for the leader and emit an event.
--
-- KEYS: 1 entry hash, 2 schedule, 3 log, 4 events channel, 5 triggers
-- ARGV: 1 expected version; '' any
--       2 length of the log
--       3 the event: JSON without the closing brace
--       4 the request: JSON
--       5 most requests that may wait
-- Returns {'ok', seq}, {'gone'}, {'full'} or {'conflict', score, 'ok' | 'fault', fields...}.
local before = load_entry(KEYS[1], KEYS[2], FIELDS)
if not before[1] and before[2] == 'ok' and not before[3] then
  return {'gone'}
end
if ARGV[1] ~= '' then
  if before[2] == 'fault' or version_of(before[3], before[5], before[6]) ~= ARGV[1] then
    return {'conflict', unpack(before, 1, 2 + #FIELDS)}
  end
end
if redis.call('XLEN', KEYS[5]) >= tonumber(ARGV[5]) then
  return {'full'}
end
redis.call('XADD', KEYS[5], '*', 'request', ARGV[4])
return {'ok', emit(KEYS[3], KEYS[4], ARGV[2], last_seq(KEYS[3]), ARGV[3])}
