/** One channel to a Tallyback server, and the service clients on it. */
import { Channel, credentials, type ChannelOptions } from '@grpc/grpc-js';
import { AccountCommandServiceClient } from '../../gen/tallyback/account/v1/account_command_service.ts';
import { AccountQueryServiceClient } from '../../gen/tallyback/account/v1/account_query_service.ts';
import { EventFeedServiceClient } from '../../gen/tallyback/feed/v1/event_feed_service.ts';
import { FiguresQueryServiceClient } from '../../gen/tallyback/figures/v1/figures_query_service.ts';
import { IngestServiceClient } from '../../gen/tallyback/ingest/v1/ingest_service.ts';
import { ItemCommandServiceClient } from '../../gen/tallyback/item/v1/item_command_service.ts';
import { ItemQueryServiceClient } from '../../gen/tallyback/item/v1/item_query_service.ts';
import { OrderCommandServiceClient } from '../../gen/tallyback/order/v1/order_command_service.ts';
import { OrderQueryServiceClient } from '../../gen/tallyback/order/v1/order_query_service.ts';
import { ProgrammeCommandServiceClient } from '../../gen/tallyback/programme/v1/programme_command_service.ts';
import { SystemServiceClient } from '../../gen/tallyback/system/v1/system_service.ts';

// A client that waits for a restarting server should notice soon that it is back; the library's own back-off
// goes up to two minutes. Pings find a peer that is gone without a word.
const channelOptions: ChannelOptions = {
  'grpc.initial_reconnect_backoff_ms': 200,
  'grpc.max_reconnect_backoff_ms': 3_000,
  'grpc.keepalive_time_ms': 20_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_receive_message_length': 64 * 1024 * 1024,
};

export interface Connection {
  readonly accountCommands: AccountCommandServiceClient;
  readonly accounts: AccountQueryServiceClient;
  readonly events: EventFeedServiceClient;
  readonly figures: FiguresQueryServiceClient;
  readonly ingest: IngestServiceClient;
  readonly itemCommands: ItemCommandServiceClient;
  readonly items: ItemQueryServiceClient;
  readonly orderCommands: OrderCommandServiceClient;
  readonly orders: OrderQueryServiceClient;
  readonly programmeCommands: ProgrammeCommandServiceClient;
  readonly system: SystemServiceClient;
  close(): void;
}

/** Clients for a server at `host:port`, over plain HTTP/2. Nothing is sent until the first call. */
export function connect(target: string): Connection {
  const secrets = credentials.createInsecure();
  const channel = new Channel(target, secrets, channelOptions);
  const shared = { channelOverride: channel };
  return {
    accountCommands: new AccountCommandServiceClient(target, secrets, shared),
    accounts: new AccountQueryServiceClient(target, secrets, shared),
    events: new EventFeedServiceClient(target, secrets, shared),
    figures: new FiguresQueryServiceClient(target, secrets, shared),
    ingest: new IngestServiceClient(target, secrets, shared),
    itemCommands: new ItemCommandServiceClient(target, secrets, shared),
    items: new ItemQueryServiceClient(target, secrets, shared),
    orderCommands: new OrderCommandServiceClient(target, secrets, shared),
    orders: new OrderQueryServiceClient(target, secrets, shared),
    programmeCommands: new ProgrammeCommandServiceClient(target, secrets, shared),
    system: new SystemServiceClient(target, secrets, shared),
    close: () => channel.close(),
  };
}
