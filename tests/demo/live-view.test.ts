import fc from 'fast-check';
import pc from 'picocolors';
import { describe, expect, test } from 'vitest';
import { createDisplay } from '../../src/demo/display.ts';
import type { Figures } from '../../src/demo/figures.ts';
import { renderFrame } from '../../src/demo/live-view.ts';

const plainLook = { colors: pc.createColors(false), unicode: true };
const colorLook = { colors: pc.createColors(true), unicode: true };
const ESCAPES = /\x1b\[[0-9;?]*[a-zA-Z]/g;

function figures(organizations = 20): Figures {
  return {
    title: 'PostgreSQL 17.10',
    phase: 'writing',
    elapsedMs: 12_345,
    durationMs: 15_000,
    committed: 61_503,
    delivered: 61_020,
    rolledBack: 4_300,
    batches: 12_400,
    committedPerSecond: 501.4,
    deliveredPerSecond: 498,
    p50: 262.4,
    p99: 1301,
    lagHistory: [0, 512, 18_700],
    organizations: Array.from({ length: organizations }, (_, index) => ({
      organizationId: `organization ${index}`,
      committed: 100 + index,
      arrived: 95 + index,
    })),
  };
}

describe('renderFrame', () => {
  test('shows every figure and every organization at 80x24', () => {
    const text = renderFrame(figures(), { columns: 80, rows: 24 }, plainLook).join('\n');
    for (const wanted of [
      'PostgreSQL 17.10',
      '12.3s of 15.0s',
      '61,503',
      '501/s',
      '61,020',
      '498/s',
      '4,300',
      '12,400',
    ]) {
      expect(text).toContain(wanted);
    }
    for (const wanted of ['262 ms', 'p99 1,301 ms', '18.3 KiB', '20 organizations', 'Ctrl-C']) {
      expect(text).toContain(wanted);
    }
    expect(text.match(/░/g)?.length).toBeGreaterThanOrEqual(20);
  });

  test('says how many organizations do not fit', () => {
    const text = renderFrame(figures(500), { columns: 80, rows: 24 }, plainLook).join('\n');
    const more = /500 organizations, (\d+) more not shown/.exec(text)?.[1];
    const bars = (text.match(/░+/g)?.length ?? 0) - 1;
    expect(bars).toBeGreaterThan(10);
    expect(Number(more)).toBe(500 - bars);
  });

  test('fits any terminal, colours or not', () => {
    const size = fc.record({ columns: fc.integer({ min: 11, max: 250 }), rows: fc.integer({ min: 2, max: 80 }) });
    fc.assert(
      fc.property(size, fc.integer({ min: 1, max: 300 }), (terminal, organizations) => {
        const lines = renderFrame(figures(organizations), terminal, colorLook);
        expect(lines.length).toBeLessThan(terminal.rows);
        for (const line of lines) expect(line.replace(ESCAPES, '').length).toBeLessThan(terminal.columns);
      }),
    );
  });

  test('plain ASCII where the terminal has no Unicode', () => {
    const lines = renderFrame(figures(), { columns: 80, rows: 24 }, { ...plainLook, unicode: false });
    expect(lines.join('')).toMatch(/^[\x20-\x7e]*$/);
  });
});

describe('createDisplay', () => {
  const listen = (isTTY: boolean) => {
    const written: string[] = [];
    return { written, output: { isTTY, columns: 80, rows: 24, write: (text: string) => written.push(text) } };
  };

  test('a pipe gets one line and no escape sequence', () => {
    const { written, output } = listen(false);
    const display = createDisplay(output, false);
    display.show(figures());
    display.close();
    expect(written).toEqual([
      ' 12s  committed 61,503  delivered 61,020  498/s  p50 262 ms  p99 1,301 ms  batches 12,400  lag 18.3 KiB\n',
    ]);
  });

  test('a terminal is given back as it was', () => {
    const { written, output } = listen(true);
    const display = createDisplay(output, false);
    display.show(figures());
    display.show(figures());
    display.close();
    const all = written.join('');
    expect(all.split('\x1b[?1049h')).toHaveLength(2);
    expect(all.endsWith('\x1b[?25h\x1b[?1049l')).toBe(true);
  });

  test('--plain wins over the terminal', () => {
    const { written, output } = listen(true);
    createDisplay(output, true).show(figures());
    expect(written.join('')).not.toMatch(ESCAPES);
  });
});
