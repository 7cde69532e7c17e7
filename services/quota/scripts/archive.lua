-- archive: add the oldest entries of a journal to its sums, and drop them. The sums stay part of
-- the proof.
--
-- KEYS  1 journal   2 sums
-- ARGV  1 Unix ms: only entries before   2 at most how many
-- Answers how many were dropped.

local last = nil
local entries = redis.call('XRANGE', KEYS[1], '-', '(' .. ARGV[1] .. '-0', 'COUNT', ARGV[2])
for _, entry in ipairs(entries) do
  local e = {}
  for n = 1, #entry[2], 2 do e[entry[2][n]] = entry[2][n + 1] end
  last = entry[1]
  add(KEYS[2], 'entries', 1)
  if e.key ~= '' then
    local t = numbers(e.t == '' and NOTHING or e.t)
    local stem = e.u .. '|' .. e.key .. '|' .. e.m .. '|'
    add(KEYS[2], stem .. 'spent', tonumber(e.s))
    add(KEYS[2], stem .. 'held', tonumber(e.h))
    add(KEYS[2], stem .. 'requests', tonumber(e.n))
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
