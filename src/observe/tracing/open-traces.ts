import type { Clock } from '../../clock.ts';
import { WalpostError } from '../../errors.ts';
import { VERSION } from '../../version.ts';
import { boundedCall } from '../bounded-call.ts';
import { DeliveryTraces } from './delivery-traces.ts';

/** Not dependencies of walpost: who wants traces installs them. */
const PACKAGES = [
  '@opentelemetry/api',
  '@opentelemetry/resources',
  '@opentelemetry/sdk-trace-base',
  '@opentelemetry/exporter-trace-otlp-http',
];
/** The process ends 1.5 s after it has stopped. */
const FLUSH_LIMIT_MS = 1_000;

/** Traces as the usual variables of OpenTelemetry ask for them; undefined when none of them does. Throws TRACING_UNAVAILABLE. */
export async function openTraces(env: NodeJS.ProcessEnv, clock: Clock): Promise<DeliveryTraces | undefined> {
  if (!isWanted(env)) return undefined;
  return orNamePackage(PACKAGES, () => load(clock));
}

/** Runs what imports the packages. When that fails because one of them is not installed, the error names it. */
export async function orNamePackage<T>(packages: readonly string[], run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    const missing = packages.find((name) => !isInstalled(name));
    if (missing === undefined) throw cause;
    const remedy = `npm install ${packages.join(' ')}`;
    throw new WalpostError('TRACING_UNAVAILABLE', { detail: `${missing} is not installed.`, remedy, cause });
  }
}

function isWanted(env: NodeJS.ProcessEnv): boolean {
  const exporter = env['OTEL_TRACES_EXPORTER'];
  if (env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true' || exporter === 'none') return false;
  if (exporter !== undefined && exporter !== '' && exporter !== 'otlp') {
    const detail = 'OTEL_TRACES_EXPORTER may be otlp or none.';
    throw new WalpostError('TRACING_UNAVAILABLE', { detail, remedy: 'Set it to otlp, or leave it out.' });
  }
  return Boolean(exporter || env['OTEL_EXPORTER_OTLP_ENDPOINT'] || env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT']);
}

/** Endpoint, headers, sampler and the name of the service come from the variables: the packages read them. */
async function load(clock: Clock): Promise<DeliveryTraces> {
  const [api, resources, sdk, otlp] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/resources'),
    import('@opentelemetry/sdk-trace-base'),
    import('@opentelemetry/exporter-trace-otlp-http'),
  ]);
  const own = resources.resourceFromAttributes({ 'service.name': 'walpost', 'service.version': VERSION });
  const provider = new sdk.BasicTracerProvider({
    resource: own.merge(resources.detectResources({ detectors: [resources.envDetector] })),
    spanProcessors: [new sdk.BatchSpanProcessor(new otlp.OTLPTraceExporter())],
  });
  const tracer = provider.getTracer('walpost', VERSION);
  const flush = boundedCall(() => provider.shutdown(), FLUSH_LIMIT_MS);
  return new DeliveryTraces({ api, tracer, clock, flush });
}

function isInstalled(name: string): boolean {
  try {
    import.meta.resolve(name);
    return true;
  } catch {
    return false;
  }
}
