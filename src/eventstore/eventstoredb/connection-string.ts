/**
 * Connection strings as EventStoreDB and KurrentDB clients take them, read more strictly than the client does:
 * what it would warn about or silently ignore is an error here.
 *
 *   esdb://[user:password@]host[:port][,host[:port]…][?key=value&…]      one node, or the nodes of a cluster
 *   esdb+discover://[user:password@]host[:port][?…]                      a cluster behind one DNS name
 *
 * kurrentdb:// (and kurrent://, kdb://) mean the same. Keys are compared without case, "-" and "_".
 */

export interface ConnectionSettings {
  readonly hosts: readonly { readonly address: string; readonly port: number }[];
  /** The hosts are to be asked who is in the cluster; else there is one, and it is used as it is. */
  readonly cluster: 'none' | 'hosts' | 'dns';
  readonly tls: boolean;
  readonly tlsCaFile: string | undefined;
  readonly userCertFile: string | undefined;
  readonly userKeyFile: string | undefined;
  readonly credentials: { readonly username: string; readonly password: string } | undefined;
  readonly nodePreference: NodePreference;
  readonly maxDiscoverAttempts: number;
  /** Milliseconds. */
  readonly discoveryInterval: number;
  /** Seconds. */
  readonly gossipTimeout: number;
  /** Milliseconds; −1: off. */
  readonly keepAliveInterval: number;
  /** Milliseconds. */
  readonly keepAliveTimeout: number;
  /** Milliseconds an append or a silent read may take. */
  readonly defaultDeadline: number;
  readonly connectionName: string;
}

const nodePreferences = ['leader', 'follower', 'random', 'read_only_replica'] as const;
export type NodePreference = (typeof nodePreferences)[number];

/** The connection string is wrong. The message holds no secrets. */
export class ConnectionStringError extends Error {
  override readonly name = 'ConnectionStringError';
}

const keys = [
  'tls',
  'tlsCAFile',
  'tlsVerifyCert',
  'userCertFile',
  'userKeyFile',
  'nodePreference',
  'maxDiscoverAttempts',
  'discoveryInterval',
  'gossipTimeout',
  'keepAliveInterval',
  'keepAliveTimeout',
  'defaultDeadline',
  'connectionName',
  'throwOnAppendFailure',
] as const;
type Key = (typeof keys)[number];

const flat = (text: string): string => text.toLowerCase().replaceAll(/[_-]/g, '');
const keyByFlatName = new Map<string, Key>(keys.map((key) => [flat(key), key]));

const form = /^(?:esdb|kurrentdb|kurrent|kdb)(\+discover)?:\/\/(?:([^@/?]*)@)?([^/?@]+)\/?(?:\?(.*))?$/i;
const hostForm = /^(\[[0-9a-f:.]+\]|[^\s:[\]]+)(?::(\d{1,5}))?$/i;

/** Throws ConnectionStringError naming everything that is wrong. `password`: if it does not stand in the string. */
export function parseConnectionString(text: string, password?: string): ConnectionSettings {
  const { settings, problems } = read(text, password);
  if (!settings || problems.length > 0) throw new ConnectionStringError(problems.join('\n'));
  return settings;
}

/** What is wrong with a connection string; empty if nothing is. */
export const checkConnectionString = (text: string, password?: string): readonly string[] =>
  read(text, password).problems;

/** For people: the hosts, and nothing secret. */
export function describeConnectionString(text: string): string {
  const { settings } = read(text, undefined);
  if (!settings) return 'an event store';
  const hosts = settings.hosts.map(({ address, port }) => `${address}:${port}`).join(', ');
  return `EventStoreDB at ${hosts}${settings.tls ? ' (TLS)' : ''}`;
}

function read(
  text: string,
  password: string | undefined,
): { readonly settings: ConnectionSettings | undefined; readonly problems: string[] } {
  const problems: string[] = [];
  const match = form.exec(text.trim());
  if (!match) {
    problems.push(
      'the event store must be given as esdb://[user:password@]host:port[,host:port…][?key=value&…]',
    );
    return { settings: undefined, problems };
  }
  const [, discover, userInfo, hostList = '', query = ''] = match;
  if (query.includes('@')) {
    // Most likely a password with a "?" in it, of which nothing must be told, hosts and settings included.
    problems.push(
      'in the address of the event store "?" and "@" within names, passwords and settings are %3F and %40',
    );
    return { settings: undefined, problems };
  }
  const hosts = hostList.split(',').map((host, index) => {
    const [, address, port = '2113'] = hostForm.exec(host.trim()) ?? [];
    if (address === undefined || Number(port) < 1 || Number(port) > 65_535) {
      // Not as it stands: with the host forgotten, it is user and password.
      problems.push(`host ${index + 1} of the event store is not of the form HOST or HOST:PORT`);
    }
    return { address: address ?? '', port: Number(port) };
  });
  if (discover !== undefined && hosts.length > 1) {
    problems.push('esdb+discover:// takes one DNS name; several hosts are given with esdb://');
  }
  const values = readQuery(query, problems);
  const whole = (key: Key, least: number, otherwise: number): number => {
    const value = values.get(key);
    if (value === undefined) return otherwise;
    const number = Number(value);
    if (Number.isSafeInteger(number) && value.trim() !== '' && number >= least) return number;
    problems.push(`${key} of the event store takes a whole number from ${least}, not "${value}"`);
    return otherwise;
  };
  const flag = (key: Key): boolean => {
    const value = values.get(key)?.toLowerCase() ?? 'true';
    if (value !== 'true' && value !== 'false') problems.push(`${key} of the event store is true or false`);
    return value !== 'false';
  };
  const tls = flag('tls');
  if (!flag('tlsVerifyCert')) {
    problems.push('tlsVerifyCert=false has no effect in this client; name the authority with tlsCAFile');
  }
  if (!flag('throwOnAppendFailure')) {
    problems.push('throwOnAppendFailure=false makes the client answer conflicts wrongly; leave it out');
  }
  const userCertFile = values.get('userCertFile');
  const userKeyFile = values.get('userKeyFile');
  if ((userCertFile === undefined) !== (userKeyFile === undefined)) {
    problems.push('userCertFile and userKeyFile of the event store belong together');
  }
  const wanted = flat(values.get('nodePreference') ?? 'leader');
  const nodePreference = nodePreferences.find((known) => flat(known) === wanted);
  if (!nodePreference) problems.push(`nodePreference is one of ${nodePreferences.join(', ')}`);

  const settings: ConnectionSettings = {
    hosts,
    cluster: discover !== undefined ? 'dns' : hosts.length > 1 ? 'hosts' : 'none',
    tls,
    tlsCaFile: values.get('tlsCAFile'),
    userCertFile,
    userKeyFile,
    credentials: readCredentials(userInfo, password, problems),
    nodePreference: nodePreference ?? 'leader',
    maxDiscoverAttempts: whole('maxDiscoverAttempts', 1, 3),
    discoveryInterval: whole('discoveryInterval', 1, 100),
    gossipTimeout: whole('gossipTimeout', 1, 3),
    keepAliveInterval: whole('keepAliveInterval', -1, 10_000),
    keepAliveTimeout: whole('keepAliveTimeout', 1, 10_000),
    defaultDeadline: whole('defaultDeadline', 1, 10_000),
    connectionName: values.get('connectionName') ?? 'tallyback',
  };
  return { settings, problems };
}

function readQuery(query: string, problems: string[]): ReadonlyMap<Key, string> {
  const values = new Map<Key, string>();
  for (const pair of query.split('&')) {
    if (pair === '') continue;
    const [, name = pair, value = ''] = /^([^=]*)=(.*)$/.exec(pair) ?? [];
    const key = keyByFlatName.get(flat(name));
    if (key) values.set(key, decode(value) ?? value);
    else problems.push(`"${name}" is not a setting of an event store connection`);
  }
  return values;
}

function readCredentials(
  userInfo: string | undefined,
  password: string | undefined,
  problems: string[],
): ConnectionSettings['credentials'] {
  if (userInfo === undefined) {
    if (password !== undefined) problems.push('there is a password for the event store, but no user name');
    return undefined;
  }
  const [name = '', ...rest] = userInfo.split(':');
  const username = decode(name);
  const own = rest.length > 0 ? decode(rest.join(':')) : undefined;
  if (username === undefined || username === '' || (rest.length > 0 && own === undefined)) {
    problems.push('user and password of the event store must be percent-encoded');
    return undefined;
  }
  const secret = own ?? password;
  if (secret === undefined) {
    problems.push('there is a user name for the event store, but no password');
    return undefined;
  }
  return { username, password: secret };
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
