// Micro benches of the hot path's pure parts, with Google Benchmark: CRC-32C alone and with the copy, decoding of Produce and
// Fetch requests, the check of a batch, encoding of a Produce response. Every round checks its result.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench/micro/subject.h"

namespace
{

constexpr uint32_t kRecordBytes = 1024;

template <bool (*Work)(const uint8_t *, uint32_t)> void BatchWork(benchmark::State &state)
{
    const auto bytes = static_cast<uint32_t>(state.range(0));
    std::vector<uint8_t> batch(bytes);

    subject_make_batch(batch.data(), bytes, kRecordBytes);
    for (auto _ : state) {
        if (!Work(batch.data(), bytes)) {
            state.SkipWithError("wrong result");
            break;
        }
    }
    state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * bytes);
}

void Crc32cCopy(benchmark::State &state)
{
    const auto bytes = static_cast<uint32_t>(state.range(0));
    std::vector<uint8_t> batch(bytes);
    std::vector<uint8_t> to(bytes);

    subject_make_batch(batch.data(), bytes, kRecordBytes);
    for (auto _ : state) {
        if (!subject_crc_copy(to.data(), batch.data(), bytes)) {
            state.SkipWithError("wrong CRC");
            break;
        }
        benchmark::ClobberMemory();
    }
    if (to != batch)
        state.SkipWithError("the copy differs");
    state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * bytes);
}

void CheckBatch(benchmark::State &state)
{
    const auto bytes = static_cast<uint32_t>(state.range(0));
    const auto record_bytes = static_cast<uint32_t>(state.range(1));
    std::vector<uint8_t> batch(bytes);
    const uint32_t records = subject_make_batch(batch.data(), bytes, record_bytes);

    for (auto _ : state) {
        if (!subject_check_batch(batch.data(), bytes, records)) {
            state.SkipWithError("a good batch was refused");
            break;
        }
    }
    state.SetItemsProcessed(static_cast<int64_t>(state.iterations()) * records);
}

void DecodeProduce(benchmark::State &state)
{
    const auto batch_bytes = static_cast<uint32_t>(state.range(0));
    std::vector<uint8_t> frame(batch_bytes + 1024);
    const size_t bytes = subject_make_produce(frame.data(), frame.size(), batch_bytes, kRecordBytes);

    for (auto _ : state) {
        if (!subject_decode_produce(frame.data(), bytes)) {
            state.SkipWithError("not decoded");
            break;
        }
    }
}

void DecodeFetch(benchmark::State &state)
{
    std::vector<uint8_t> frame(8192);
    const size_t bytes = subject_make_fetch(frame.data(), frame.size());

    for (auto _ : state) {
        if (!subject_decode_fetch(frame.data(), bytes)) {
            state.SkipWithError("not decoded");
            break;
        }
    }
}

void EncodeProduceResponse(benchmark::State &state)
{
    std::vector<uint8_t> out(256);

    for (auto _ : state) {
        if (subject_encode_produce_response(out.data(), out.size()) == 0) {
            state.SkipWithError("not encoded");
            break;
        }
        benchmark::ClobberMemory();
    }
}

BENCHMARK_TEMPLATE(BatchWork, subject_crc)->Name("Crc32c")->Arg(1024)->Arg(16384)->Arg(65536)->Arg(1 << 20);
BENCHMARK(Crc32cCopy)->Arg(1024)->Arg(16384)->Arg(65536)->Arg(1 << 20);
BENCHMARK(CheckBatch)->Args({1024, 1024})->Args({65536, 1024})->Args({65536, 100});
BENCHMARK(DecodeProduce)->Arg(1024)->Arg(65536);
BENCHMARK(DecodeFetch);
BENCHMARK(EncodeProduceResponse);

} // namespace

BENCHMARK_MAIN();
