/**
 * The version of the contract between walpost and sinks of your own. It changes only when a sink that was written for the
 * version before would not work any more; walpost refuses such a module by name.
 */
export const SINK_CONTRACT = 1;
