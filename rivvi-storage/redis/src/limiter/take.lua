-- Takes starts under several paces at once: the generic cell rate algorithm (ITU-T I.371), as in rivvi_core::limit.
-- KEYS: the mark of this data set, then a key per pace, each "<theoretical arrival in us> <who was charged last>".
-- ARGV: starts wanted; the caller's time in us, or "" for the server's; who asks; for how long in us a data set that
--   may have lost arrivals grants nothing; "1" if this server process had not seen the script; how long in ms idle
--   keys are kept; then interval in us and burst of each pace.
-- Returns starts granted, us until asking makes sense, and the time in us that decided.
local want, caller, who = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local settle, keep = tonumber(ARGV[4]), tonumber(ARGV[6])
local by_server = caller == ''
local now
if by_server then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
else
  now = tonumber(caller)
end
local found = redis.call('MGET', unpack(KEYS))

local open_at = found[1] and tonumber(found[1])
-- An instant further ahead than that is one of a clock that was set back since.
if ARGV[5] == '1' or not open_at or (by_server and open_at > now + settle) then
  open_at = now + settle
  redis.call('SET', KEYS[1], string.format('%.0f', open_at))
end
if now < open_at then
  return {0, open_at - now, now}
end

local paces, granted = {}, want
for i = 2, #KEYS do
  local interval, burst = tonumber(ARGV[3 + 2 * i]), tonumber(ARGV[4 + 2 * i])
  local pace = { interval = interval, burst_us = interval * burst, arrival = now, who = who }
  if found[i] then
    local arrival, charged = string.match(found[i], '^(-?%d+) (.*)$')
    pace.arrival = math.max(tonumber(arrival), now)
    if by_server then
      -- No arrival lies further ahead, unless the server's clock was set back since or the rate was lower before.
      pace.cut = pace.arrival > now + pace.burst_us
      pace.arrival = math.min(pace.arrival, now + pace.burst_us)
      -- One who asks twice at one instant of its own clock cannot tell which of the two it gives back.
      if charged == who then pace.who = '' end
    elseif (tonumber(charged) or now) > now then
      pace.who = charged
    end
  end
  granted = math.min(granted, math.max(0, math.floor((now + pace.burst_us - pace.arrival) / interval)))
  paces[i] = pace
end

local wait = 0
for i = 2, #KEYS do
  local pace = paces[i]
  local arrival = pace.arrival + granted * pace.interval
  if granted > 0 or pace.cut then
    local idle_after = math.ceil((arrival - now) / 1000) + keep
    redis.call('SET', KEYS[i], string.format('%.0f %s', arrival, pace.who), 'PX', string.format('%.0f', idle_after))
  end
  wait = math.max(wait, arrival + pace.interval - pace.burst_us - now)
end
return {granted, wait, now}
