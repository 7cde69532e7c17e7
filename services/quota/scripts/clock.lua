-- The clock of every script: Unix milliseconds of the KV. Joined in front of ledger.lua; tests join
-- another piece that defines the same function.
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
