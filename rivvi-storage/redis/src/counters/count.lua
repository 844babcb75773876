-- Counts journal entries, each once however often it comes.
-- KEYS: the counts of the organization, then counts of runs and marks of how far each aggregate was counted.
-- ARGV: how long in ms idle keys are kept; then for each entry: the index of its mark's key, the field of the mark,
--   the entry's sequence number, the index of its run's counts (0: none), and the name of what is counted.
local keep = ARGV[1]
local counts = {}
local function count(index, name)
  counts[index] = counts[index] or {}
  counts[index][name] = (counts[index][name] or 0) + 1
end
for i = 2, #ARGV, 5 do
  local mark, field, sequence = KEYS[tonumber(ARGV[i])], ARGV[i + 1], tonumber(ARGV[i + 2])
  if sequence > tonumber(redis.call('HGET', mark, field) or '0') then
    redis.call('HSET', mark, field, ARGV[i + 2])
    count(1, ARGV[i + 4])
    local run = tonumber(ARGV[i + 3])
    if run > 0 then count(run, ARGV[i + 4]) end
  end
end
for index, names in pairs(counts) do
  for name, times in pairs(names) do redis.call('HINCRBY', KEYS[index], name, times) end
end
for i = 1, #KEYS do redis.call('PEXPIRE', KEYS[i], keep) end
return 0
