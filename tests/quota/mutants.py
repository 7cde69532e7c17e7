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
        "owners[number] or owner(number)",
        "owners[1] or owner(1)",
    ),
    Mutant(
        "the first owner is charged for all",
        "settle",
        "local o, h = owners[owner]",
        "local o, h = owners[1]",
    ),
    Mutant("the first month pays for all", "settle", "month = months[month]", "month = months[1]"),
    Mutant("rates are not written", "reserve", "          rated_scopes[counted[i]] = true\n", ""),
    Mutant(
        "the batch's last item alone corrects the rate",
        "settle",
        "for n = 1, #b.again do used",
        "for n = #b.again, #b.again do used",
    ),
    Mutant(
        "a limit of concurrency alone is none",
        "reserve",
        "or c.rpm or c.tpm or c.concurrency",
        "or c.rpm or c.tpm",
    ),
    Mutant(
        "a retry holds twice",
        "reserve",
        "if holds[key] then return dup",
        "if false then return dup",
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
        "if s.spent + s.held - own + asked > limit",
        "if s.spent + asked > limit",
    ),
    Mutant(
        "the last nano-dollar is refused",
        "limits",
        "if s.spent + s.held - own + asked > limit",
        "if s.spent + s.held - own + asked >= limit",
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
        "local exhausted = s.spent + asked > limit",
        "local exhausted = true",
    ),
    Mutant(
        "held outranks exhausted",
        "limits",
        "(exhausted and reason == 'BUDGET_HELD')",
        "(not exhausted)",
    ),
    Mutant(
        "a reset does nothing",
        "limits",
        "(v[1] or 0) - (v[3] or 0)",
        "(v[1] or 0) + 0",
    ),
    Mutant(
        "the batch does not see itself",
        "limits",
        "    scopes[name] = found\n",
        "    scopes[name .. tostring(found)] = found\n",
    ),
    Mutant("where all fits, the batch does not see itself", "limits", "s.free - more", "s.free"),
    Mutant("where all fits, the key has no limit", "reserve", "held > api_key.free or ", ""),
    Mutant("where all fits, the user has no limit", "reserve", "held > user.free or ", ""),
    Mutant("where all fits, there is no limit", "reserve", " or held > org.free", ""),
    Mutant("a batch's own holds are unknown to it", "reserve", "  holds[key] = text\n", ""),
    Mutant("a batch's own outcomes are unknown to it", "settle", "  holds[key] = text\n", ""),
    Mutant(
        "concurrency is not counted",
        "reserve",
        "take(o.counted, held, 1)",
        "take(o.counted, held, 0)",
    ),
    Mutant("cost is rounded down", "limits", "math.ceil((p.fixed_rest", "math.floor((p.fixed_rest"),
    Mutant("the rest is lost", "limits", "(p.fixed_rest + n * p.price_rest)", "(p.fixed_rest)"),
    Mutant(
        "a token more than affordable", "limits", "do n = n - 1 end", "do n = n - 1 end n = n + 1"
    ),
    Mutant(
        "a token less than affordable",
        "limits",
        "while n < want and cost(p, n + 1) <= left do n = n + 1 end",
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
        "if user.status ~= 'active' then return 'SUSPENDED', 'user' end",
        "",
    ),
    Mutant(
        "suspended organisations spend",
        "limits",
        "if org.status ~= 'active' then return 'SUSPENDED', 'org' end",
        "",
    ),
    Mutant("expired keys live on", "limits", "(key.expires and key.expires <= now)", "false"),
    Mutant("deleted users spend", "limits", "or not user.status", ""),
    Mutant(
        "the key's models are not read",
        "reserve",
        "for i = 1, 3 do\n    if not allowed",
        "for i = 2, 3 do\n    if not allowed",
    ),
    Mutant(
        "a pattern need not end", "reserve", "and string.sub(name, #name - #rest + 1) == rest", ""
    ),
    Mutant(
        "requests per minute are not counted",
        "reserve",
        "used = used + asked[r] * MINUTE",
        "used = used + (r - 1) * asked[r] * MINUTE",
    ),
    Mutant("rates do not leak", "reserve", "math.max(0, now - tonumber(t)) * limit", "0"),
    Mutant(
        "a refusal counts for the rate",
        "reserve",
        "tightest, limited = rates(o, rated, false)",
        "tightest, limited = rates(o, rated, true)",
    ),
    Mutant(
        "one more at a time", "reserve", "counted[i].running >= most", "counted[i].running > most"
    ),
    Mutant(
        "the key's last use is not noted",
        "reserve",
        "call('HSET', o.config, 'last_used', int(minute))",
        "",
    ),
    Mutant("no lease", "reserve", "now + ARGV[1]", "now"),
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
        "local out = largest(p, left,",
        "local out = largest(p, math.huge,",
    ),
    Mutant(
        "an extension counts itself twice",
        "checkpoint",
        "cost(p, h.out + 1), h.held)",
        "cost(p, h.out + 1), 0)",
    ),
    Mutant(
        "an extension is not in the journal", "checkpoint", "journal(KEYS[4]", "tostring(KEYS[4]"
    ),
    Mutant(
        "revoked streams run on",
        "checkpoint",
        "local reason, name = barred(configured, now)",
        "local reason, name",
    ),
    Mutant(
        "settled twice, charged twice",
        "settle",
        "if h.state == 'settled' or h.state == 'released'",
        "if h.state == 'released'",
    ),
    Mutant(
        "a late settle charges in full",
        "settle",
        "spent, requests, model = charged - h.charged",
        "spent, requests, model = charged",
    ),
    Mutant(
        "a late settle counts a second request",
        "settle",
        "charged - h.charged, requests - 1",
        "charged - h.charged, requests",
    ),
    Mutant(
        "a late settle counts tokens twice", "settle", "counted = difference(tokens, h.tokens)", ""
    ),
    Mutant("the hold stays", "settle", "    held = -h.held\n", ""),
    Mutant("the running request stays", "settle", "b.ended = b.ended + 1", ""),
    Mutant(
        "expiry before the lease ends",
        "settle",
        "i.id .. o.lease) or 0) > now then",
        "i.id .. o.lease) or 0) > now + 60000 then",
    ),
    Mutant(
        "expiry at the very end of the lease is early",
        "settle",
        "i.id .. o.lease) or 0) > now then",
        "i.id .. o.lease) or 0) >= now then",
    ),
    Mutant("expiry charges the whole hold", "settle", "math.min(h.cost, h.held)", "h.held"),
    Mutant("expiry charges beyond the hold", "settle", "math.min(h.cost, h.held)", "h.cost + 0"),
    Mutant("the replay window never ends", "settle", "now - i.admit > keep", "false"),
    Mutant(
        "fail-open has the short window",
        "settle",
        "tonumber(i.grace and ARGV[2] or ARGV[1])",
        "tonumber(ARGV[1])",
    ),
    Mutant("outcomes are kept too short", "settle", "long and ARGV[2] or ARGV[1]", "1000"),
    Mutant(
        "expired holds are kept too short",
        "settle",
        "local long = i.grace or state == 'expired'",
        "local long = i.grace",
    ),
    Mutant(
        "a release is charged",
        "settle",
        "if i.kind == 'release' then return 0, NOTHING, 0 end",
        "if i.kind == 'release' then return i.cost, NOTHING, 0 end",
    ),
    Mutant(
        "the user is not charged",
        "settle",
        "book(KEYS[key + 1], user), book(KEYS[1])",
        "book(KEYS[1]), book(KEYS[1])",
    ),
    Mutant(
        "the wrong month pays",
        "settle",
        "if h.month ~= month then return {'MONTH', h.state, 0, h.month} end",
        "",
    ),
    Mutant("another owner settles", "settle", " or h.owner ~= o.name then", " then"),
    Mutant("fail-open is not told apart", "settle", "(i.grace and charged or 0)\n", "0\n"),
    Mutant("an overrun is silent", "settle", "(h and charged > h.held)", "(false)"),
    Mutant(
        "an anomaly is charged in full",
        "settle",
        "return odd and math.min(i.cost, most) or i.cost",
        "return i.cost",
    ),
    Mutant(
        "an anomaly has no limit when its hold is lost",
        "settle",
        "(i.held > 0 and i.held or math.huge)",
        "math.huge",
    ),
    Mutant("the journal is not written", "settle", "    journal(KEYS[3],", "    tostring(KEYS[3],"),
    Mutant(
        "the records are not written",
        "settle",
        "m.records, names, r, 3, 6)",
        "m.records, names, r, 4, 6)",
    ),
    Mutant("records have no index", "settle", "call('ZADD', m.index, 0, name)", ""),
    Mutant("two records are one", "settle", "before[f] + r[f]", "before[f]"),
    Mutant("cached tokens are lost", "settle", "rare and 10 or 7", "7"),
    Mutant(
        "a request ends once for each month of a batch",
        "settle",
        "t[1], b.ended = -b.ended, 0",
        "t[1] = -b.ended",
    ),
    Mutant(
        "the ranking is not written",
        "settle",
        "call('ZINCRBY', m.by_cost, int(t[3]), b.user)",
        "",
    ),
    Mutant(
        "the lease is not removed",
        "settle",
        "if #leases > 0 then call('ZREM', KEYS[2], unpack(leases)) end",
        "",
    ),
    Mutant(
        "used tokens are not counted again",
        "settle",
        "if h.rated ~= '0' then",
        "if false then",
    ),
    Mutant(
        "the reset forgives nothing", "reset", "month .. ':reset', spent", "month .. ':reset', 0"
    ),
    Mutant(
        "tokens per minute are not counted",
        "reserve",
        "used = used + asked[r] * MINUTE",
        "used = used + (2 - r) * asked[r] * MINUTE",
    ),
    Mutant(
        "a clock that steps back refills a rate", "reserve", "math.max(now, tonumber(t))", "now"
    ),
    Mutant(
        "what is larger than a minute never passes",
        "reserve",
        "math.min(asked, limit) * MINUTE",
        "asked * MINUTE",
    ),
    Mutant(
        "the widest rate is told", "reserve", "left < tightest[p + 2]", "left > tightest[p + 2]"
    ),
    Mutant(
        "the rate forgets the output", "settle", "= input + output - h.rated", "= input - h.rated"
    ),
    Mutant(
        "a rate gives nothing back",
        "settle",
        "used = math.max(0, used + ",
        "used = math.max(used + 0, used + ",
    ),
    Mutant(
        "a record is of the day of the settle",
        "settle",
        "day_of((h and h.admit or i.admit) + 0)",
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
        "if i.kind == 'release' then return 0, NOTHING, 0 end",
        "if i.kind == 'release' and not (h and h.state == 'expired') then return 0, NOTHING, 0 end",
    ),
    Mutant(
        "a late settle frees the hold again",
        "settle",
        "if h and h.state == 'reserved' then\n    held",
        "if h then\n    held",
    ),
    Mutant(
        "an outcome that came late is forgotten soon",
        "settle",
        " or (h and h.state == 'expired')\n  local text",
        "\n  local text",
    ),
    Mutant(
        "expired twice, charged twice",
        "settle",
        "(i.kind == 'expire' and h.state == 'expired')",
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
)
