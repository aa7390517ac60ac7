/** How our Postgres is set up. Given at each start, so that they hold for clusters made by older versions too. */
const defaults = {
  shared_buffers: '256MB',
  max_wal_size: '4GB',
  max_connections: '100',
  fsync: 'on',
  full_page_writes: 'on',
  // A forgotten transaction holds back vacuum, and locks, for all.
  idle_in_transaction_session_timeout: '60s',
  timezone: 'UTC',
  log_timezone: 'UTC',
  cluster_name: 'tallyback',
};

/** Reachable from this host only, and only over TCP: a socket file would need a folder that two accounts share. */
const fixed = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  // The launcher reads the log, so it must come out of the server's stderr, in English.
  logging_collector: 'off',
  log_destination: 'stderr',
  lc_messages: 'C',
};

export const serverSettings = (
  wanted: Readonly<Record<string, string>>,
  port: number,
): Readonly<Record<string, string>> => ({ ...defaults, ...wanted, ...fixed, port: String(port) });
