-- snapshot: books of an organisation at one instant, for the proof that they agree.
--
-- KEYS  1 journal   2 holds   3.. hashes
-- ARGV  1 how many of the hashes, from the first one, are counters and records; the rest are holds
-- Answers {id of the newest journal entry, open holds, {fields of each counter hash},
--   {state, held, month of each hold}}.

local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local counters, holds = {}, {}
for n = 3, #KEYS do
  if n - 2 <= tonumber(ARGV[1]) then
    counters[#counters + 1] = redis.call('HGETALL', KEYS[n])
  else
    local h = redis.call('HMGET', KEYS[n], 'state', 'held', 'month')
    holds[#holds + 1] = {h[1] or '', h[2] or '0', h[3] or ''}
  end
end
return {newest[1] and newest[1][1] or '', redis.call('ZRANGE', KEYS[2], 0, -1), counters, holds}
