/** The client package's service definitions, with answers as bytes: events go out as they were encoded once. */
import type { ServiceDefinition } from '@grpc/grpc-js';
import { GossipService } from '@eventstore/db-client/generated/gossip_grpc_pb.js';
import { ServerFeaturesService } from '@eventstore/db-client/generated/serverfeatures_grpc_pb.js';
import { StreamsService } from '@eventstore/db-client/generated/streams_grpc_pb.js';

const same = (bytes: Buffer): Buffer => bytes;

const bytesOut = { responseSerialize: same, responseDeserialize: same };
const bytesBothWays = { ...bytesOut, requestSerialize: same, requestDeserialize: same };

export const streamsService: ServiceDefinition = {
  read: { ...StreamsService.read, ...bytesOut },
  append: { ...StreamsService.append, ...bytesBothWays },
  delete: { ...StreamsService.delete, ...bytesBothWays },
  tombstone: { ...StreamsService.tombstone, ...bytesBothWays },
  batchAppend: { ...StreamsService.batchAppend, ...bytesBothWays },
};

export const gossipService: ServiceDefinition = {
  read: { ...GossipService.read, ...bytesBothWays },
};

export const featuresService: ServiceDefinition = {
  getSupportedMethods: { ...ServerFeaturesService.getSupportedMethods, ...bytesBothWays },
};
