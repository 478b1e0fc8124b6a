/** Figures as people read them, the same everywhere in the demo. */

export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US');
}

export function formatRate(perSecond: number): string {
  return `${formatCount(perSecond)}/s`;
}

export function formatMilliseconds(ms: number | undefined): string {
  if (ms === undefined) return '-';
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 10_000 ? `${formatCount(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function formatSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)}s`;
}

export function formatBytes(bytes: number | undefined): string {
  if (bytes === undefined) return '-';
  if (bytes < 1024) return `${bytes} B`;
  const mebi = bytes / 1024 ** 2;
  return mebi < 1 ? `${(bytes / 1024).toFixed(1)} KiB` : `${mebi.toFixed(1)} MiB`;
}
