/** Settings of a server, from the command line and the environment. All that is wrong is said at once. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** An EventStoreDB or KurrentDB, and where in it our log is. */
export interface EventStoreConfiguration {
  /** May hold a password: not for people. */
  readonly connectionString: string;
  readonly namespace: string;
  /** If it does not stand in the connection string. */
  readonly password: string | undefined;
}

/** What an instance does: serves clients, folds events into read models, runs policies. */
export const roles = ['api', 'projector', 'policies'] as const;
export type Role = (typeof roles)[number];

export interface ServerConfiguration {
  /** What this instance does; all of it by default. Commands and queries take the role `api`. */
  readonly roles: readonly Role[];
  /** Events that a rebuild takes in a second, at most; undefined: as fast as it goes. */
  readonly rebuildEventsPerSecond: number | undefined;
  /** Rows that the audit looks at in a second, at most; 0: there is none. */
  readonly auditRowsPerSecond: number;
  /** Where metrics are served, HOST:PORT; undefined: nowhere. */
  readonly metricsListen: string | undefined;
  /**
   * Where browsers may watch, HOST:PORT, and whose pages may, beside those from there, such as
   * "https://console.example"; undefined: nowhere, and nobody's.
   */
  readonly sse: { readonly listen: string; readonly origin: string | undefined } | undefined;
  /** Threads that each read model which can be partitioned is folded in; 0: none, all is folded in the main one. */
  readonly foldThreads: number;
  /** Where the gRPC API listens. */
  readonly listen: string;
  /** Folder of the embedded Postgres; unused with `databaseUrl`. */
  readonly dataDir: string;
  readonly databaseUrl: string | undefined;
  /** Where the event log is; undefined: in the Postgres that holds the read models. */
  readonly eventStore: EventStoreConfiguration | undefined;
  readonly postgresBinDir: string | undefined;
  /** Extra settings of the embedded Postgres. */
  readonly postgresSettings: Readonly<Record<string, string>>;
  /** Signs position tokens; undefined: a key kept in the database, shared by all instances on it. */
  readonly tokenKey: string | undefined;
}

/** A setting is missing or wrong; the message says which and how. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
}

const known = new Set([
  'TALLYBACK_LISTEN',
  'TALLYBACK_DATA',
  'TALLYBACK_POSTGRES_BIN',
  'TALLYBACK_TOKEN_KEY',
  'TALLYBACK_ROLES',
  'TALLYBACK_REBUILD_EVENTS_PER_SECOND',
  'TALLYBACK_AUDIT_ROWS_PER_SECOND',
  'TALLYBACK_METRICS_LISTEN',
  'TALLYBACK_SSE_LISTEN',
  'TALLYBACK_SSE_ORIGIN',
  'TALLYBACK_FOLD_THREADS',
  'TALLYBACK_EVENT_STORE',
  'TALLYBACK_EVENT_STORE_NAMESPACE',
  'TALLYBACK_EVENT_STORE_PASSWORD',
  'TALLYBACK_TEST_DATABASE_URL',
  'TALLYBACK_TEST_ESDB_URL',
]);

type Environment = Readonly<Record<string, string | undefined>>;

/** What is wrong with the connection string of an event store, secrets left out. */
export type CheckEventStore = (connectionString: string, password: string | undefined) => readonly string[];

/** Whether a text names an event store by its kind of URL; what is wrong with it is another matter. */
export const isEventStoreUrl = (text: string): boolean =>
  /^(esdb|kurrentdb|kurrent|kdb)(\+discover)?:\/\//i.test(text);

/** The event store at that URL with the settings of the environment. Adds to the problems what is wrong. */
export function eventStoreAt(
  connectionString: string,
  env: Environment,
  check: CheckEventStore,
  problems: string[],
): EventStoreConfiguration {
  const password = env['TALLYBACK_EVENT_STORE_PASSWORD'] || undefined;
  const namespace = env['TALLYBACK_EVENT_STORE_NAMESPACE'] || 'tallyback';
  if (!isEventStoreUrl(connectionString)) {
    problems.push(
      'the event store must be a URL that starts with esdb:// or kurrentdb://; the Postgres is set by DATABASE_URL',
    );
  } else problems.push(...check(connectionString, password));
  if (!/^[A-Za-z0-9][A-Za-z0-9_]{0,99}$/.test(namespace)) {
    problems.push(
      'TALLYBACK_EVENT_STORE_NAMESPACE has letters, digits and "_", begins with one of the first two, and is at most 100 long',
    );
  }
  return { connectionString, namespace, password };
}

/** Says what is a setting by its name, and is none. */
export function unknownSettings(env: Environment): string[] {
  return Object.keys(env)
    .filter((name) => name.startsWith('TALLYBACK_') && !known.has(name))
    .map((name) => `${name} is not a setting of Tallyback`);
}

export function serverConfiguration(
  flags: {
    readonly data?: string | undefined;
    readonly listen?: string | undefined;
    readonly 'event-store'?: string | undefined;
    readonly roles?: string | undefined;
    readonly metrics?: string | undefined;
    readonly sse?: string | undefined;
    readonly 'sse-origin'?: string | undefined;
  },
  env: Environment,
  checkEventStore: CheckEventStore,
): ServerConfiguration {
  const problems = unknownSettings(env);
  const listen = flags.listen ?? env['TALLYBACK_LISTEN'] ?? '127.0.0.1:7420';
  if (!isAddress(listen)) {
    problems.push(`the address to listen on must be HOST:PORT, not "${listen}"`);
  }
  const databaseUrl = env['DATABASE_URL'] || undefined;
  if (databaseUrl !== undefined && !(/^postgres(ql)?:\/\//.test(databaseUrl) && URL.canParse(databaseUrl))) {
    problems.push('DATABASE_URL must be a URL that starts with postgres:// or postgresql://');
  }
  const eventStoreUrl = (flags['event-store'] ?? env['TALLYBACK_EVENT_STORE']) || undefined;
  const eventStore =
    eventStoreUrl === undefined ? undefined : eventStoreAt(eventStoreUrl, env, checkEventStore, problems);
  const tokenKey = env['TALLYBACK_TOKEN_KEY'] || undefined;
  if (tokenKey !== undefined && tokenKey.length < 32) {
    problems.push('TALLYBACK_TOKEN_KEY must have at least 32 characters');
  }
  const asked = rolesIn(flags.roles ?? env['TALLYBACK_ROLES'], problems);
  const rate = env['TALLYBACK_REBUILD_EVENTS_PER_SECOND'] || undefined;
  if (rate !== undefined && !/^[1-9]\d{0,8}$/.test(rate)) {
    problems.push('TALLYBACK_REBUILD_EVENTS_PER_SECOND must be a whole number from 1 on');
  }
  const auditRate = env['TALLYBACK_AUDIT_ROWS_PER_SECOND'] || '100';
  if (!/^\d{1,6}$/.test(auditRate)) {
    problems.push('TALLYBACK_AUDIT_ROWS_PER_SECOND must be a whole number, 0 for no audit');
  }
  const metricsListen = (flags.metrics ?? env['TALLYBACK_METRICS_LISTEN']) || undefined;
  if (metricsListen !== undefined && !isAddress(metricsListen)) {
    problems.push(`the address to serve metrics on must be HOST:PORT, not "${metricsListen}"`);
  }
  const sseListen = (flags.sse ?? env['TALLYBACK_SSE_LISTEN']) || undefined;
  if (sseListen !== undefined && !isAddress(sseListen)) {
    problems.push(`the address for browsers to watch must be HOST:PORT, not "${sseListen}"`);
  }
  if (sseListen !== undefined && !asked.includes('api')) {
    problems.push('browsers watch an instance that has the role api');
  }
  const sseOrigin = (flags['sse-origin'] ?? env['TALLYBACK_SSE_ORIGIN']) || undefined;
  if (sseOrigin !== undefined && !isOrigin(sseOrigin)) {
    problems.push(`the origin of pages that may watch is like https://console.example, not "${sseOrigin}"`);
  }
  const threads = env['TALLYBACK_FOLD_THREADS'] || '0';
  if (!/^\d{1,2}$/.test(threads)) {
    problems.push('TALLYBACK_FOLD_THREADS must be a whole number from 0 to 99');
  }
  if (problems.length > 0) throw new ConfigurationError(problems.join('\n'));
  return {
    auditRowsPerSecond: Number(auditRate),
    metricsListen,
    sse: sseListen === undefined ? undefined : { listen: sseListen, origin: sseOrigin },
    roles: asked,
    rebuildEventsPerSecond: rate === undefined ? undefined : Number(rate),
    foldThreads: Number(threads),
    listen,
    dataDir: dataDirOf(flags.data, env),
    databaseUrl,
    eventStore,
    postgresBinDir: env['TALLYBACK_POSTGRES_BIN'] || undefined,
    postgresSettings: {},
    tokenKey,
  };
}

const isAddress = (text: string): boolean =>
  /^(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$/.test(text) && Number(text.split(':').at(-1)) <= 65_535;

/** One origin, as browsers write it. */
const isOrigin = (text: string): boolean =>
  /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text;

function rolesIn(text: string | undefined, problems: string[]): readonly Role[] {
  if (!text) return roles;
  const names = text.split(',').map((name) => name.trim());
  const known = roles.filter((role) => names.includes(role));
  const unknown = names.filter((name) => !roles.some((role) => role === name));
  if (unknown.length > 0) {
    problems.push(`roles are a list of ${roles.join(', ')}; not "${unknown.join('", "')}"`);
  }
  return known;
}

export const dataDirOf = (flag: string | undefined, env: Environment): string =>
  resolve(flag ?? env['TALLYBACK_DATA'] ?? join(homedir(), '.tallyback'));
