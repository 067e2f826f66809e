-- Renew the lease for its full length.
--
-- KEYS: 1 lock
-- ARGV: 1 token, 2 length of the lease in milliseconds
-- Returns 1, or 0 if the caller does not hold it.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
