-- snapshot: books of an organisation at one instant, for the proof that they agree.
--
-- KEYS  1 journal   2 holds   3.. hashes, then reservations
-- ARGV  1 how many of them, from the first one, are hashes of counters and records
-- Answers {id of the newest journal entry, open holds, {fields of each counter hash},
--   {state, held, month of each hold; state '' where there is none}}.

local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local counters, holds = {}, {}
for n = 3, #KEYS do
  if n - 2 <= tonumber(ARGV[1]) then
    counters[#counters + 1] = redis.call('HGETALL', KEYS[n])
  else
    local text = call('GET', KEYS[n])
    local h = text and read(text) or {state = '', held = 0, month = ''}
    holds[#holds + 1] = {h.state, int(h.held), h.month}
  end
end
return {newest[1] and newest[1][1] or '', redis.call('ZRANGE', KEYS[2], 0, -1), counters, holds}
