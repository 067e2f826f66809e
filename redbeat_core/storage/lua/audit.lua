-- Some of the entries, for the slow look at all of them: read on until a page is not as it was
-- when it was looked at last. Changes nothing.
--
-- KEYS: 1 schedule
-- ARGV: 1 where to go on: a cursor; '0' begins
--       2 how many entries make a page (about)
--       3 how many entries to pass over at most (about)
--       4... pairs of cursor and digest: pages as they were
-- Returns {where to go on, cursor of the page that changed or false, its digest, its entries: JSON,
--   a list of {key, score, 'ok' | 'fault', fields...}}.
local schedule, cursor = KEYS[1], ARGV[1]
local known = {}
for i = 4, #ARGV, 2 do
  known[ARGV[i]] = ARGV[i + 1]
end

-- What `meta` says changes with every run; that it can be read does not.
local META = '^{"last_run_at": {"__type__": "datetime",[^{}]*}[^{}]*}$'

local passed = 0
repeat
  local scanned = redis.call('ZSCAN', schedule, cursor, 'COUNT', ARGV[2])
  local members, parts = scanned[2], {}
  for i = 1, #members, 2 do
    local key, score = members[i], members[i + 1]
    parts[#parts + 1] = key
    local values = redis.pcall('HMGET', key, 'definition', 'policy', 'state', 'meta', 'due')
    if values.err then
      parts[#parts + 1] = values.err
    else
      for field = 1, 3 do
        parts[#parts + 1] = values[field] or ''
      end
      local meta = values[4] or ''
      parts[#parts + 1] = string.find(meta, META) and 'meta' or meta
      -- Of what is scheduled it does not matter for when.
      parts[#parts + 1] = string.sub(score, 1, 1) == '-' and (values[5] or '') or 'due'
    end
  end
  local digest = redis.sha1hex(table.concat(parts, '\0'))
  if known[cursor] ~= digest then
    local entries = {}
    for i = 1, #members, 2 do
      local loaded = load_entry(members[i], schedule, FIELDS)
      entries[#entries + 1] = {members[i], unpack(loaded, 1, 2 + #FIELDS)}
    end
    return {scanned[1], cursor, digest, cjson.encode(entries)}
  end
  passed = passed + #members / 2
  cursor = scanned[1]
until cursor == '0' or passed >= tonumber(ARGV[3])
return {cursor, false}
