export interface BarChart {
  readonly title: string;
  readonly unit: string;
  readonly bars: readonly (readonly [label: string, value: number])[];
}

const ROW = 24;
const LABEL = 210;
const WIDTH = 720;
const ROOM_FOR_VALUE = 110;

/** A small chart of horizontal bars that reads on light and dark pages. */
export function barChart({ title, unit, bars }: BarChart): string {
  const most = Math.max(...bars.map(([, value]) => value), 1e-9);
  const rows = bars.map(([label, value], index) => {
    const y = 34 + index * ROW;
    const width = Math.max(1, (value / most) * (WIDTH - LABEL - ROOM_FOR_VALUE));
    const shown = value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(1);
    const fill = label.startsWith('walpost') ? '#2563eb' : '#94a3b8';
    return (
      `<text x="${LABEL - 8}" y="${y + 14}" text-anchor="end">${escapeXml(label)}</text>` +
      `<rect x="${LABEL}" y="${y + 2}" width="${width.toFixed(1)}" height="${ROW - 7}" rx="2" fill="${fill}"/>` +
      `<text x="${(LABEL + width + 6).toFixed(1)}" y="${y + 14}">${shown} ${escapeXml(unit)}</text>`
    );
  });
  const height = 44 + bars.length * ROW;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeXml(title)}">\n` +
    `<style>text{font:12px system-ui,sans-serif;fill:#64748b}</style>\n` +
    `<text x="8" y="20" style="font-weight:600">${escapeXml(title)}</text>\n${rows.join('\n')}\n</svg>\n`
  );
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
