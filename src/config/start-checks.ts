import { columnProblems } from '../postgres/source/column-mapping.ts';
import { isSourceTable } from '../postgres/source/source-table.ts';
import type { CrossProblem } from './cross-checks.ts';
import { sinkProblems } from './sinks/sink-checks.ts';

/**
 * What would stop `walpost run` before it connects, told by the parts that would stop. They accept invalid input too, so
 * that all problems of a file are reported together.
 */
export function* startProblems(config: unknown): Generator<CrossProblem> {
  for (const [name, value] of Object.entries(asMap(asMap(config)['sinks']))) {
    const sink = asMap(value);
    for (const { path, message } of sinkProblems(sink)) yield { path: ['sinks', name, ...path], message, input: sink };
  }
  const source = asMap(asMap(config)['source']);
  const { table, preset = 'walpost', columns = {} } = source;
  if (typeof table === 'string' && table !== '' && !isSourceTable(table)) {
    yield { path: ['source', 'table'], message: 'must be schema.table', input: table };
  }
  if (preset !== 'walpost' && preset !== 'debezium') return;
  for (const { field, problem } of columnProblems({
    preset,
    columns: asMap(columns) as Record<string, string | null>,
  })) {
    yield { path: ['source', 'columns', field], message: problem, input: columns };
  }
}

function asMap(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
