import { join } from 'node:path';
import { build, type Metafile } from 'esbuild';

const ROOT = join(import.meta.dirname, '../..');

export interface Bundle {
  readonly text: string;
  readonly meta: Metafile;
}

export interface BundleOptions {
  /** TypeScript; its imports are relative to the root of the repository. */
  readonly source: string;
  /** The global variable that holds what the source exports. */
  readonly name?: string;
  /** Packages that are left out. */
  readonly external?: readonly string[];
}

/** One script, as an application's bundler makes it for browsers. An import of Node's modules fails. */
export async function bundleForBrowsers({ source, name, external = [] }: BundleOptions): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    stdin: { contents: source, resolveDir: ROOT, loader: 'ts' },
    bundle: true,
    minify: true,
    platform: 'browser',
    target: 'es2022',
    metafile: true,
    write: false,
    external: [...external],
    ...(name === undefined ? { format: 'esm' } : { format: 'iife', globalName: name }),
  });
  return { text: outputFiles[0]?.text ?? '', meta: metafile };
}
