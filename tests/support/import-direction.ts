import { findCycles, type ImportGraph } from './import-graph.ts';

const STAGES = ['slot', 'decoder', 'router', 'sinks', 'ack', 'parking', 'jobs', 'leader'];
const FOUNDATIONS = ['postgres', 'observe', 'config'];
const DOORS = ['client', 'consumer'];

/**
 * Who may import whom, from the top down; a place may import itself and what its line names.
 * A stage never imports another stage: what they share is vocabulary, and relay.ts joins them.
 */
function allowed(place: string): readonly string[] | undefined {
  const below = [...FOUNDATIONS, 'vocabulary'];
  if (place === 'main') return ['cli', 'relay', ...below];
  if (place === 'cli') return ['demo', 'relay', ...STAGES, ...below];
  if (place === 'demo') return ['relay', ...STAGES, ...DOORS, ...below];
  if (place === 'relay') return [...STAGES, ...below];
  if (STAGES.includes(place)) return below;
  if (FOUNDATIONS.includes(place)) return below;
  if (DOORS.includes(place)) return ['vocabulary'];
  return place === 'vocabulary' ? [] : undefined;
}

function placeOf(file: string): string {
  const slash = file.indexOf('/');
  if (slash >= 0) return file.slice(0, slash);
  if (file === 'main.ts') return 'main';
  return /^relay(-[a-z-]+)?\.ts$/.test(file) ? 'relay' : 'vocabulary';
}

/** One line for every import that points the wrong way, names a file that is not there, or closes a cycle. */
export function violations(graph: ImportGraph): string[] {
  const found: string[] = [];
  for (const [file, targets] of graph) {
    const place = placeOf(file);
    const may = allowed(place);
    if (!may) found.push(`${file}: DESIGN section 6 knows no place ${place}/`);
    for (const target of targets) {
      if (target.startsWith('../')) continue;
      if (!graph.has(target)) found.push(`${file} -> ${target}: no such file`);
      else if (may && placeOf(target) !== place && !may.includes(placeOf(target))) {
        found.push(`${file} -> ${target}: ${place} may not import ${placeOf(target)}`);
      }
    }
  }
  return [...found, ...findCycles(graph).map((cycle) => `cycle: ${cycle}`)];
}
