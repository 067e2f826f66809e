-- Release the lease and emit an event, on which a standby acquires it.
--
-- KEYS: 1 lock, 2 leader, 3 log, 4 events channel
-- ARGV: 1 token, 2 length of the log, 3 the event: JSON without the closing brace
-- Returns 1, or 0 if the caller does not hold it.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1], KEYS[2])
emit(KEYS[3], KEYS[4], ARGV[2], last_seq(KEYS[3]), ARGV[3])
return 1
