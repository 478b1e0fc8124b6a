/** The public door `walpost/sink/testing`: the contract of sinks as tests, and events for tests of your own. */
export { type SinkHarness, testContext } from './harness.ts';
export { type ContractTest, sinkContract } from './sink-contract.ts';
export { sampleBatch, sampleEvent, type SampleEventFields } from './sample-events.ts';
