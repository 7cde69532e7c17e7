-- archive: add the oldest entries of a journal to its sums, and drop them. The sums stay part of
-- the proof.
--
-- KEYS  1 journal   2 sums
-- ARGV  1 Unix ms: only entries before   2 at most how many
-- Answers how many were dropped.

local ENTRY = '^' .. string.rep('([^\t]*)\t', 13) .. '(.*)$'
local COUNTS = '^(%-?%d+) (%-?%d+) %-?%d+ %-?%d+ (%-?%d+) (%-?%d+)'
local last, sums = nil, {}

local function add(field, delta)
  sums[field] = (sums[field] or 0) + delta
end

local entries = call('XRANGE', KEYS[1], '-', '(' .. ARGV[1] .. '-0', 'COUNT', ARGV[2])
for _, entry in ipairs(entries) do
  local _, _, user, key, month, _, _, spent, held, requests, tokens =
    match(entry[2][2], ENTRY)
  last = entry[1]
  add('entries', 1)
  if key ~= '' then
    local input, cached, output, reasoning = match(tokens == '' and NOTHING or tokens, COUNTS)
    local stem = user .. '|' .. key .. '|' .. month .. '|'
    add(stem .. 'spent', spent)
    add(stem .. 'held', held)
    add(stem .. 'requests', requests)
    add(stem .. 'input_tokens', input)
    add(stem .. 'output_tokens', output)
    add(stem .. 'cached_input_tokens', cached)
    add(stem .. 'reasoning_output_tokens', reasoning)
  end
end
for field, delta in pairs(sums) do
  if delta ~= 0 or match(field, '|spent$') then  -- a key that cost nothing is still known
    call('HINCRBY', KEYS[2], field, int(delta))
  end
end
if last then
  local ms, sequence = match(last, '^(%d+)%-(%d+)$')
  call('XTRIM', KEYS[1], 'MINID', ms .. '-' .. int(tonumber(sequence) + 1))
end
return #entries
