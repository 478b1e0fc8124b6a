import { endpointProblems } from '../config/sinks/endpoint-checks.ts';
import { sinkProblems } from '../config/sinks/sink-checks.ts';
import type { SinkConfig } from '../config/sinks/sinks.ts';
import { WalpostError } from '../errors.ts';
import type { SinkContext } from '../sink-context.ts';

/** Throws CONFIG_INVALID for what `config check` finds; a sink that is made from a file that was read has nothing of it. */
export function refuseUnsound(config: SinkConfig, { name }: Pick<SinkContext, 'name'>): void {
  const [problem] = [...sinkProblems({ ...config }), ...endpointProblems({ ...config })];
  if (problem === undefined) return;
  const path = ['sinks', name, ...problem.path].join('.');
  throw new WalpostError('CONFIG_INVALID', { detail: `${path} ${problem.message}.` });
}
