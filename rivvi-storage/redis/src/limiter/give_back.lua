-- Gives starts back to each pace that nobody else was charged under since.
-- KEYS: a key per pace, each "<theoretical arrival in us> <who was charged last>".
-- ARGV: starts not used; who was charged; then the interval in us of each pace.
local unused, who = tonumber(ARGV[1]), ARGV[2]
for i = 1, #KEYS do
  local found = redis.call('GET', KEYS[i])
  if found then
    local arrival, charged = string.match(found, '^(-?%d+) (.*)$')
    if charged == who then
      arrival = tonumber(arrival) - unused * tonumber(ARGV[2 + i])
      redis.call('SET', KEYS[i], string.format('%.0f %s', arrival, who), 'KEEPTTL')
    end
  end
end
return 0
