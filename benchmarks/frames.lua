-- For wrk: ask for random frames of one instance, and print what came as one line of JSON.
-- With BENCH_SPANS, a file of `first-last` lines, ask for ranges of one file instead.
local prefix = os.getenv("BENCH_PREFIX")
local suffix = os.getenv("BENCH_SUFFIX")
local first = tonumber(os.getenv("BENCH_FIRST"))
local last = tonumber(os.getenv("BENCH_LAST"))
local headers = { Accept = os.getenv("BENCH_ACCEPT"), Authorization = os.getenv("BENCH_AUTHORIZATION") }
local spans

function init(args)
  math.randomseed(417)
  if os.getenv("BENCH_SPANS") then
    spans = {}
    for line in io.lines(os.getenv("BENCH_SPANS")) do
      spans[#spans + 1] = "bytes=" .. line
    end
  end
end

function request()
  local number = math.random(first, last)
  if spans then
    headers["Range"] = spans[number]
    return wrk.format("GET", prefix, headers)
  end
  return wrk.format("GET", prefix .. number .. suffix, headers)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "bytes": %d, "microseconds": %d, "p50": %d, "p99": %d, "errors": %d}\n',
    summary.requests, summary.bytes, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
