-- archive: add the oldest entries of a journal to its sums, and drop them. The sums stay part of
-- the proof.
--
-- KEYS  1 journal   2 sums
-- ARGV  1 Unix ms: only entries before   2 at most how many
-- Answers how many were dropped.

local last = nil
local entries = redis.call('XRANGE', KEYS[1], '-', '(' .. ARGV[1] .. '-0', 'COUNT', ARGV[2])
for _, entry in ipairs(entries) do
  local _, _, user, key, month, _, _, spent, held, requests, tokens =
    string.match(entry[2][2], ENTRY)
  last = entry[1]
  add(KEYS[2], 'entries', 1)
  if key ~= '' then
    local t = numbers(tokens == '' and NOTHING or tokens)
    local stem = user .. '|' .. key .. '|' .. month .. '|'
    add(KEYS[2], stem .. 'spent', spent)
    add(KEYS[2], stem .. 'held', held)
    add(KEYS[2], stem .. 'requests', requests)
    add(KEYS[2], stem .. 'input_tokens', t[1])
    add(KEYS[2], stem .. 'output_tokens', t[5])
    add(KEYS[2], stem .. 'cached_input_tokens', t[2])
    add(KEYS[2], stem .. 'reasoning_output_tokens', t[6])
  end
end
flush()
if last then
  local ms, sequence = string.match(last, '^(%d+)%-(%d+)$')
  redis.call('XTRIM', KEYS[1], 'MINID', ms .. '-' .. int(tonumber(sequence) + 1))
end
return #entries
