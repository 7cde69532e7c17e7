"""Mistakes somebody could make in the scripts, one at a time. Each must be noticed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """In ``script``, ``right`` becomes ``wrong``."""

    name: str
    script: str
    right: str
    wrong: str


MUTANTS = (
    Mutant(
        "the first owner pays for all",
        "reserve",
        "payers[number] or payer(number)",
        "payers[1] or payer(1)",
    ),
    Mutant(
        "the first owner is charged for all",
        "settle",
        "local o, text = owners[number]",
        "local o, text = owners[1]",
    ),
    Mutant(
        "the first month pays for all", "settle", "= behind, months[month],", "= behind, months[1],"
    ),
    Mutant("rates are not written", "rates", "          counted[i].rated = true\n", ""),
    Mutant(
        "the batch's last item alone corrects the rate",
        "settle",
        "      used = math.max(0, used + again[n] * MINUTE)",
        "      used = math.max(0, match(rate, '^%d+') + again[n] * MINUTE)",
    ),
    Mutant(
        "a limit of concurrency alone is none",
        "reserve",
        "rated or c[4] or c[5] or c[6]",
        "rated or c[4] or c[5]",
    ),
    Mutant(
        "a retry holds twice",
        "reserve",
        "if holds[key] then\n    local old",
        "if false then\n    local old",
    ),
    Mutant("any fingerprint will do", "reserve", "if old.fingerprint ~= fingerprint", "if false"),
    Mutant("clocks may differ", "reserve", "> skew then", "> skew * 1000 then"),
    Mutant("skew of exactly the limit", "reserve", "> skew then", ">= skew then"),
    Mutant(
        "the key's limit is forgotten",
        "limits",
        "for i = 1, 3 do\n    local limit, s",
        "for i = 2, 3 do\n    local limit, s",
    ),
    Mutant(
        "the organisation's limit is forgotten",
        "limits",
        "for i = 1, 3 do\n    local limit, s",
        "for i = 1, 2 do\n    local limit, s",
    ),
    Mutant(
        "what is held is not counted",
        "limits",
        "if spent + held - own + asked > limit",
        "if spent + asked > limit",
    ),
    Mutant(
        "the last nano-dollar is refused",
        "limits",
        "if spent + held - own + asked > limit",
        "if spent + held - own + asked >= limit",
    ),
    Mutant(
        "one nano-dollar too many",
        "limits",
        "own + asked > limit then",
        "own + asked > limit + 1 then",
    ),
    Mutant(
        "held is called exhausted",
        "limits",
        "local exhausted = spent + asked > limit",
        "local exhausted = true",
    ),
    Mutant(
        "held outranks exhausted",
        "limits",
        "(exhausted and reason == 'BUDGET_HELD')",
        "(not exhausted)",
    ),
    Mutant(
        "a reset does nothing", "counters", "(old[4] or 0) - (old[3] or 0)", "(old[4] or 0) + 0"
    ),
    Mutant(
        "the batch does not see itself",
        "counters",
        "  local found = sheets[key]\n",
        "  local found = nil\n",
    ),
    Mutant("where all fits, the batch does not see itself", "limits", "s.free - more", "s.free"),
    Mutant("where all fits, the key has no limit", "reserve", "held > counted[1].free or ", ""),
    Mutant("where all fits, the user has no limit", "reserve", "held > counted[2].free or ", ""),
    Mutant("where all fits, there is no limit", "reserve", " or held > counted[3].free", ""),
    Mutant("a batch's own holds are unknown to it", "reserve", "  holds[key] = text\n", ""),
    Mutant("a batch's own outcomes are unknown to it", "settle", "  holds[key] = text\n", ""),
    Mutant(
        "concurrency is not counted", "reserve", "take(counted, held, 1)", "take(counted, held, 0)"
    ),
    Mutant("cost is rounded down", "limits", "math.ceil((fixed_rest", "math.floor((fixed_rest"),
    Mutant("the rest is lost", "limits", "(fixed_rest + n * price_rest)", "(fixed_rest)"),
    Mutant(
        "a token more than affordable", "limits", "do n = n - 1 end", "do n = n - 1 end n = n + 1"
    ),
    Mutant(
        "a token less than affordable",
        "limits",
        "while n < want and cost(n + 1, ...) <= left do n = n + 1 end",
        "",
    ),
    Mutant(
        "the month goes backwards",
        "limits",
        "if begun and begun > month then return begun, begun end",
        "",
    ),
    Mutant(
        "a wrong clock begins a month",
        "limits",
        "  return month, begun\n",
        "  redis.call('HSET', org_quota, 'month', month)\n  return month, begun\n",
    ),
    Mutant("no month is begun", "reserve", "if begun ~= month then", "if false then"),
    Mutant("leap years are forgotten", "ledger", "- floor(doe / 1460)", ""),
    Mutant(
        "suspended users spend",
        "limits",
        "if user[1] ~= 'active' then return 'SUSPENDED', 2 end",
        "",
    ),
    Mutant(
        "suspended organisations spend",
        "limits",
        "if org[1] ~= 'active' then return 'SUSPENDED', 3 end",
        "",
    ),
    Mutant("expired keys live on", "limits", "(key[7] and key[7] + 0 <= now)", "false"),
    Mutant("deleted users spend", "limits", "or not user[1]", ""),
    Mutant(
        "the key's models are not read",
        "models",
        "for i = 1, 3 do\n    if not allowed",
        "for i = 2, 3 do\n    if not allowed",
    ),
    Mutant(
        "a pattern need not end", "models", "and string.sub(name, #name - #rest + 1) == rest", ""
    ),
    Mutant(
        "requests per minute are not counted",
        "rates",
        "used = used + asked[r] * MINUTE",
        "used = used + (r - 1) * asked[r] * MINUTE",
    ),
    Mutant("rates do not leak", "rates", "math.max(0, now - tonumber(t)) * limit", "0"),
    Mutant(
        "a refusal counts for the rate",
        "reserve",
        "tightest, limited = rates(configured, counted, rated, false)",
        "tightest, limited = rates(configured, counted, rated, true)",
    ),
    Mutant("one more at a time", "rates", "running >= most", "running > most"),
    Mutant(
        "the key's last use is not noted",
        "reserve",
        "call('HSET', KEYS[4 * number + 3], 'last_used', int(minute))",
        "",
    ),
    Mutant("no lease", "reserve", "now + lease_ms", "now"),
    Mutant(
        "the input is forgotten",
        "reserve",
        "'0', least_cost,\n",
        "'0', '0',\n",
    ),
    Mutant("a checkpoint extends no lease", "checkpoint", "now + lease", "now"),
    Mutant(
        "costs so far may fall",
        "checkpoint",
        "if tonumber(ARGV[a + 4]) > tonumber(h.cost) then",
        "if true then",
    ),
    Mutant("an extension is not held", "checkpoint", "take(counted, more, 0)", ""),
    Mutant(
        "an extension has no limit",
        "checkpoint",
        "  if out <= h.out then",
        "  out = tonumber(ARGV[a + 6])\n  if out <= h.out then",
    ),
    Mutant(
        "an extension counts itself twice",
        "checkpoint",
        "affordable(configured, counted, h.held,",
        "affordable(configured, counted, 0,",
    ),
    Mutant(
        "an extension is not in the journal", "checkpoint", "journal(KEYS[4]", "tostring(KEYS[4]"
    ),
    Mutant(
        "revoked streams run on",
        "checkpoint",
        "local reason, whose = barred(configured[1], configured[2], configured[3], now)",
        "local reason, whose",
    ),
    Mutant(
        "settled twice, charged twice",
        "settle",
        "if before == 'settled' or before == 'released'",
        "if before == 'released'",
    ),
    Mutant(
        "a late settle charges in full",
        "settle",
        "spent, requests, its_model = charged - its_charged",
        "spent, requests, its_model = charged",
    ),
    Mutant(
        "a late settle counts a second request",
        "settle",
        "charged - its_charged, requests - 1",
        "charged - its_charged, requests",
    ),
    Mutant(
        "a late settle counts tokens twice", "settle", "    counted = table.concat(counts, ' ')", ""
    ),
    Mutant("the hold stays", "settle", "freed, r[1] = -held, r[1] - 1", "r[1] = r[1] - 1"),
    Mutant("the running request stays", "settle", "freed, r[1] = -held, r[1] - 1", "freed = -held"),
    Mutant(
        "expiry before the lease ends",
        "settle",
        "id .. o.lease) or 0) > now then",
        "id .. o.lease) or 0) > now + 60000 then",
    ),
    Mutant(
        "expiry at the very end of the lease is early",
        "settle",
        "id .. o.lease) or 0) > now then",
        "id .. o.lease) or 0) >= now then",
    ),
    Mutant("expiry charges the whole hold", "settle", "math.min(cost_so_far, most)", "most"),
    Mutant(
        "expiry charges beyond the hold", "settle", "math.min(cost_so_far, most)", "cost_so_far + 0"
    ),
    Mutant("the replay window never ends", "settle", "now - admit > keep", "false"),
    Mutant(
        "fail-open has the short window",
        "settle",
        "grace and keep_long_ms or keep_ms",
        "keep_ms",
    ),
    Mutant("outcomes are kept too short", "settle", "long and keep_long_ms or keep_ms", "1000"),
    Mutant(
        "expired holds are kept too short",
        "settle",
        "local long = grace or state == 'expired'",
        "local long = grace",
    ),
    Mutant(
        "a release is charged",
        "settle",
        "return 'released', 0, NOTHING, 0 end",
        "return 'released', cost, NOTHING, 0 end",
    ),
    Mutant(
        "the user is not charged",
        "settle",
        "local s = counters(o.counted[n])",
        "local s = counters(n == 2 and org_quota or o.counted[n])",
    ),
    Mutant(
        "the wrong month pays",
        "settle",
        "if its_month ~= month.name then return {'MONTH', before, 0, its_month} end",
        "",
    ),
    Mutant("another owner settles", "settle", " or its_owner ~= o.name then", " then"),
    Mutant("fail-open is not told apart", "settle", "(grace and charged or 0)\n", "0\n"),
    Mutant(
        "an overrun is silent",
        "settle",
        "if charged > most then",
        "if not before and charged > most then",
    ),
    Mutant("an anomaly is charged in full", "settle", "cost = math.min(cost, most)", ""),
    Mutant(
        "an anomaly has no limit when its hold is lost",
        "settle",
        "math.min(cost, most)",
        "math.min(cost, cost_so_far and most or math.huge)",
    ),
    Mutant("the journal is not written", "settle", "    journal(stream,", "    tostring(stream,"),
    Mutant(
        "the records are not written",
        "settle",
        "names, old, r, 4, 7)",
        "names, {old[2], old[3], old[4]}, r, 5, 7)",
    ),
    Mutant("records have no index", "settle", "call('ZADD', m.index, 0, name)", ""),
    Mutant(
        "two records are one", "settle", "s[f] = s[f] + r[f]", "s[f] = s[f] ~= 0 and s[f] or r[f]"
    ),
    Mutant("cached tokens are lost", "settle", "and ALL or SETTLED", "and SETTLED or SETTLED"),
    Mutant(
        "a request ends once for each month of a batch",
        "counters",
        "  sheets = {}\n",
        "  for _, s in pairs(sheets) do for f = 2, 11 do s[f] = 0 end end\n",
    ),
    Mutant("the ranking is not written", "settle", "call('ZINCRBY', m.by_cost, s[4], s.user)", ""),
    Mutant(
        "the lease is not removed",
        "settle",
        "if #leases > 0 then call('ZREM', open_holds, unpack(leases)) end",
        "",
    ),
    Mutant("used tokens are not counted again", "settle", "if rated ~= '0' then", "if false then"),
    Mutant(
        "the reset forgives nothing", "reset", "month .. ':reset', spent", "month .. ':reset', 0"
    ),
    Mutant(
        "tokens per minute are not counted",
        "rates",
        "used = used + asked[r] * MINUTE",
        "used = used + (2 - r) * asked[r] * MINUTE",
    ),
    Mutant("a clock that steps back refills a rate", "rates", "math.max(now, tonumber(t))", "now"),
    Mutant(
        "what is larger than a minute never passes",
        "rates",
        "math.min(asked, limit) * MINUTE",
        "asked * MINUTE",
    ),
    Mutant("the widest rate is told", "rates", "left < tightest[p + 2]", "left > tightest[p + 2]"),
    Mutant("the rate forgets the output", "settle", "= input + output - rated", "= input - rated"),
    Mutant(
        "a rate gives nothing back",
        "settle",
        "used = math.max(0, used + ",
        "used = math.max(used + 0, used + ",
    ),
    Mutant(
        "a record is of the day of the settle",
        "settle",
        "day_of((its_admit or admit) + 0)",
        "day_of(now)",
    ),
    Mutant(
        "a day starts at noon",
        "ledger",
        "floor(ms / 86400000) + 719468",
        "floor(ms / 86400000 + 0.5) + 719468",
    ),
    Mutant(
        "a late settle is not told apart", "settle", "then flags = flags .. ',late' end", "then end"
    ),
    Mutant(
        "a late release gives nothing back",
        "settle",
        "  local flags, charged_text =",
        "  if kind == 'release' and before == 'expired' then\n"
        "    charged, tokens, requests = cost, told_tokens, 1\n  end\n"
        "  local flags, charged_text =",
    ),
    Mutant(
        "a late settle frees the hold again",
        "settle",
        "if before == 'reserved' then\n      freed",
        "if text then\n      freed",
    ),
    Mutant(
        "an outcome that came late is forgotten soon",
        "settle",
        " or before == 'expired'\n  holds",
        "\n  holds",
    ),
    Mutant(
        "expired twice, charged twice",
        "settle",
        "(kind == 'expire' and before == 'expired')",
        "false",
    ),
    Mutant(
        "a checkpoint wakes the dead",
        "checkpoint",
        "if h.state ~= 'reserved' then",
        "if h.state == 'settled' then",
    ),
    Mutant(
        "anybody notes a checkpoint",
        "checkpoint",
        "if h.owner ~= ARGV[a + 2] .. '\\t' .. ARGV[a + 3] then",
        "if false then",
    ),
    Mutant("a reset forgives double", "reset", "':reset', spent", "':reset', 2 * spent"),
    Mutant("a reset is not in the journal", "reset", "journal(KEYS[4],", "tostring(KEYS[4],"),
    Mutant("archived money is lost", "archive", "add(stem .. 'spent', spent)", ""),
    Mutant("archived holds are lost", "archive", "add(stem .. 'held', held)", ""),
    Mutant("archived requests are lost", "archive", "add(stem .. 'requests', requests)", ""),
    Mutant("archived tokens are lost", "archive", "add(stem .. 'output_tokens', output)", ""),
    Mutant("archived entries are not counted", "archive", "add('entries', 1)", ""),
    Mutant("what is archived stays", "archive", "int(tonumber(sequence) + 1)", "sequence"),
    Mutant(
        "one too many is dropped", "archive", "tonumber(sequence) + 1", "tonumber(sequence) + 2"
    ),
    Mutant("entries are archived early", "archive", "'(' .. ARGV[1] .. '-0'", "'+'"),
    Mutant("shares grow beyond the budget", "share", "share + budget - given", "budget"),
    Mutant(
        "the first edge takes all",
        "share",
        "math.max(tonumber(ARGV[2]), own and count or count + 1,\n    redis.call('HLEN', KEYS[3]))",
        "1",
    ),
    Mutant("yesterday's edges are forgotten", "share", "redis.call('HLEN', KEYS[3])", "0"),
    Mutant(
        "a new edge does not wait",
        "share",
        "elseif own or redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then",
        "else",
    ),
    Mutant("edges are not noted", "share", "if not own or share > own then", "if share > 0 then"),
    Mutant("shares are for any day", "share", "then return {'DAY', 0} end", "then end"),
    Mutant("tomorrow's share comes at midnight", "share", "day_of(now + ARGV[5])", "day_of(now)"),
    Mutant("who fails closed has a share", "share", " or c[2] ~= 'fail-open'", ""),
    Mutant("who is suspended has a share", "share", "c[1] ~= 'active' or ", ""),
    Mutant("a lowered budget lowers nothing", "share", "if given > budget then", "if false then"),
    Mutant("a share is not written down", "share", "ARGV[1], int(share))", "ARGV[1], 0)"),
    Mutant(
        "a late return counts", "giveback", "> tonumber(ARGV[4]) then return 0 end", "< 0 then end"
    ),
    Mutant("what was spent is given back", "giveback", "ARGV[1], int(spent))", "ARGV[1], 0)"),
    Mutant("a return raises a share", "giveback", "if own <= spent then return 0 end", ""),
    Mutant("who is gone still counts", "giveback", "redis.call('HDEL', KEYS[1], ARGV[1])", ""),
    Mutant("what is exchanged is not written", "exchange", "write()\n", ""),
    Mutant(
        "a month that ends takes what was counted along",
        "counters",
        "  if counted_month then write() end\n",
        "",
    ),
    Mutant(
        "what was settled in the call is not yet spent",
        "counters",
        "(old[3] or 0) + s[4]",
        "(old[3] or 0)",
    ),
    Mutant(
        "what was held is free with the next call only",
        "counters",
        "(old[2] or 0) + s[2]",
        "(old[2] or 0)",
    ),
    Mutant(
        "what has ended in the call still runs",
        "counters",
        "(old[1] or 0) + s[1]",
        "(old[1] or 0)",
    ),
    Mutant(
        "a rate is corrected for each month of a batch",
        "settle",
        "rate and again and not corrected[key]",
        "rate and again",
    ),
    Mutant(
        "a rate counts what others have used", "settle", "c[1] == key or c[2] == key or", "true or"
    ),
)
