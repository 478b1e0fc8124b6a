/** Each situation of docs/operations.md is made, read in a terminal of 80 columns, and ended by its remedy. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { TOLD_WITHIN_MS } from '../support/walpost-cli.ts';
import { startServer } from '../support/server.ts';
import { listedSymptoms, missingOnPage, type Played, readSection, shownAtNight, writePageWhenAsked } from './page.ts';
import { blemishesOf, faultsOf, lastOutput, outputBefore } from './scene.ts';
import { SCENES } from './scenes.ts';
import { Stage } from './stage.ts';
import { terminalMissing } from './terminal.ts';

vi.setConfig({ testTimeout: 120_000 });

const noTerminal = terminalMissing();
const played: Played[] = [];
let server: EmbeddedPostgres;
beforeAll(async () => {
  // The server removes WAL when a scene asks for a checkpoint, and at no other time.
  server = await startServer('17', { settings: { checkpoint_timeout: '1h' } });
});
afterAll(() => server[Symbol.asyncDispose]());

test.skipIf(noTerminal !== undefined).each(SCENES)('$symptom', async (scene) => {
  await using stage = await Stage.open(server, scene.migrated);
  await scene.play(stage);
  const { steps, toldIn } = stage.transcript;
  expect(toldIn).toBeLessThan(TOLD_WITHIN_MS);
  if (process.env['WALPOST_SITUATIONS'] === 'print') console.log(JSON.stringify(steps, null, 1));
  expect(faultsOf(scene, outputBefore(steps), lastOutput(steps))).toEqual([]);
  expect(blemishesOf(steps)).toEqual([]);
  played.push({ scene, steps: [...steps] });
});

test('each row of the table has a scene, and each scene a row', () => {
  const symptoms = SCENES.map(({ symptom }) => symptom);
  expect(symptoms.length).toBeGreaterThanOrEqual(15);
  expect(symptoms).toEqual(listedSymptoms());
});

test('the table of situations at night says of a scene what it checks', () => {
  for (const { symptom, says } of SCENES) {
    const { subject, remedy } = says;
    const checked = ['cause', subject && 'subject', remedy && 'remedy', 'clears'].filter(Boolean).join(', ');
    expect({ symptom, shows: shownAtNight(symptom) }).toEqual({ symptom, shows: checked });
  }
});

test('the page shows what the scenes say', () => {
  writePageWhenAsked(played, SCENES.length);
  const faults = SCENES.map((scene) => {
    const section = readSection(scene.symptom);
    return section ? faultsOf(scene, section.before, section.after) : ['it has no section'];
  });
  expect(faults.flat()).toEqual([]);
  expect(played.flatMap(missingOnPage)).toEqual([]);
});
