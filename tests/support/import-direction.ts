import { findCycles, type ImportGraph } from './import-graph.ts';

const STAGES = ['slot', 'decoder', 'router', 'sinks', 'ack', 'parking', 'jobs', 'leader', 'emit', 'endpoints'];
const FOUNDATIONS = ['postgres', 'observe', 'config', 'http', 'template'];
const DOORS = ['client', 'consumer', 'sink'];

/**
 * Who may import whom, from the top down; a place may import itself and what its line names.
 * A stage never imports another stage: what they share is vocabulary, and relay/ joins them.
 */
function allowed(place: string): readonly string[] | undefined {
  const below = [...FOUNDATIONS, 'vocabulary'];
  if (place === 'main') return ['cli', 'relay', ...below];
  if (place === 'cli') return ['demo', 'doctor', 'relay', ...STAGES, ...below];
  if (place === 'doctor') return ['relay', ...STAGES, ...below];
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
  return 'vocabulary';
}

/** Inside relay: the files and rooms from the top down; what no line names is a part, and stands below them all. */
const RELAY_ORDER = [
  ['relay/relay.ts'],
  ['relay/status/', 'relay/connection.ts'],
  ['relay/leadership/'],
  ['relay/starts/'],
  ['relay/healing/'],
  ['relay/wiring.ts'],
];

function relayLevel(file: string): number {
  const level = RELAY_ORDER.findIndex((places) => places.some((place) => file.startsWith(place)));
  return level < 0 ? RELAY_ORDER.length : level;
}

function goesUpInRelay(file: string, target: string): boolean {
  return placeOf(file) === 'relay' && placeOf(target) === 'relay' && relayLevel(target) < relayLevel(file);
}

/** One line for every import that points the wrong way, names a file that is not there, or closes a cycle. */
export function violations(graph: ImportGraph): string[] {
  const found: string[] = [];
  for (const [file, targets] of graph) {
    const place = placeOf(file);
    const may = allowed(place);
    if (!may) found.push(`${file}: docs/architecture.md knows no place ${place}/`);
    for (const target of targets) {
      if (target.startsWith('../')) continue;
      if (!graph.has(target)) found.push(`${file} -> ${target}: no such file`);
      else if (may && placeOf(target) !== place && !may.includes(placeOf(target))) {
        found.push(`${file} -> ${target}: ${place} may not import ${placeOf(target)}`);
      } else if (goesUpInRelay(file, target)) {
        found.push(`${file} -> ${target}: relay goes down, see docs/architecture.md`);
      }
    }
  }
  return [...found, ...findCycles(graph).map((cycle) => `cycle: ${cycle}`)];
}
