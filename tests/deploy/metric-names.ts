/** Whether the metrics and labels of PromQL expressions are there. */
import { Metrics } from '../../src/observe/metrics.ts';
import { parseExposition } from '../support/exposition.ts';
import { sampleReport } from '../support/status-report.ts';

/** Labels that the scrape adds, and that histograms have. */
const ADDED = ['job', 'instance', 'le'];

const PATTERN = /\{__name__=~"([^"]+)"\}/g;

/** Each name that is not served, and each label that its metric does not have, as `metric{label}`. */
export async function unknownNames(expressions: readonly string[]): Promise<string[]> {
  const served = await servedLabels();
  const found = new Set<string>();
  for (const expression of expressions) {
    const plain = expression.replace(PATTERN, '');
    for (const [, name = '', labels = ''] of plain.matchAll(/\b(walpost_\w+)(?:\{([^}]*)\})?/g)) {
      const known = served.get(name.replace(/_(bucket|sum|count)$/, '')) ?? served.get(name);
      if (!known) found.add(name);
      for (const [, label = ''] of labels.matchAll(/(\w+)\s*(?:=~|!=|=|!~)/g)) {
        if (known && !known.has(label) && !ADDED.includes(label)) found.add(`${name}{${label}}`);
      }
    }
    for (const [, pattern = ''] of expression.matchAll(PATTERN)) {
      const matches = new RegExp(`^(?:${pattern})$`);
      if (![...served.keys()].some((name) => matches.test(name))) found.add(pattern);
    }
  }
  return [...found];
}

/** What a process serves that has had everything once. */
async function servedLabels(): Promise<Map<string, Set<string>>> {
  const metrics = new Metrics(['hook']);
  metrics.commitToDelivery('hook', 1);
  metrics.request('hook', 'delivered', 1);
  metrics.choreFailed('pruning');
  const endpoints = { enabled: 3, paused: 1, silent: false, failing: 1, first: [] };
  metrics.collectFrom(async () => sampleReport({ endpoints }));
  return new Map(
    parseExposition(await metrics.render()).map(({ name, samples }) => [
      name,
      new Set(samples.flatMap(({ labels }) => Object.keys(labels))),
    ]),
  );
}
