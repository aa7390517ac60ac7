/** The two connections to a server: what is watched must not be in the way of commands and queries. */
import { Channel, type ChannelCredentials, type ChannelOptions, Client, credentials } from '@grpc/grpc-js';

// A client that waits for a restarting server should notice soon that it is back; the library's own back-off goes up
// to two minutes. Pings find a peer that is gone without a word.
const channelOptions: ChannelOptions = {
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 3_000,
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
  // Channels to one address would share a connection otherwise.
  'grpc.use_local_subchannel_pool': 1,
};

export interface Channels {
  readonly calls: Client;
  readonly watches: Client;
  /** What is closed before the connections are: grpc-js leaves open streams open. */
  readonly open: Set<{ close(): void }>;
  close(): void;
}

/** Nothing is sent until the first call. */
export function openChannels(
  address: string,
  secrets: ChannelCredentials = credentials.createInsecure(),
  options: ChannelOptions = {},
): Channels {
  const client = (): Client => {
    const channel = new Channel(address, secrets, { ...channelOptions, ...options });
    return new Client(address, secrets, { channelOverride: channel });
  };
  const [calls, watches] = [client(), client()];
  const open = new Set<{ close(): void }>();
  return {
    calls,
    watches,
    open,
    close() {
      for (const one of open) one.close();
      calls.close();
      watches.close();
    },
  };
}
