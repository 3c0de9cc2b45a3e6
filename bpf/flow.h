/* SPDX-License-Identifier: Apache-2.0 */
/* Flow records: what each ENI's flow log says of a window. */
#ifndef UNDERLAY_FLOW_H
#define UNDERLAY_FLOW_H

#include "packet.h"

static __always_inline void record_loss(__u32 window_number, __u32 eni)
{
	struct loss_key key = { .window = window_number, .eni = eni };
	__u64 one = 1, *lost = bpf_map_lookup_elem(&flow_losses, &key);

	if (lost)
		__sync_fetch_and_add(lost, 1);
	else
		bpf_map_update_elem(&flow_losses, &key, &one, BPF_NOEXIST);
}

/* A flag is recorded as flow logs do: FIN, SYN, RST, and ACK only with SYN. */
static __always_inline __u32 recorded_flags(__u8 tcp_flags)
{
	__u32 flags = tcp_flags & (TCP_FIN | TCP_SYN | TCP_RST);

	if ((tcp_flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK))
		flags |= TCP_ACK;
	return flags;
}

VERIFIED_ONCE int record_flow(__u32 eni, const struct packet *packet, __u32 direction, __u32 action)
{
	struct flow_key key = { .eni = eni, .direction = direction, .action = action };
	struct flow fresh = {};
	__u32 zero = 0, flags;
	__u32 *open = bpf_map_lookup_elem(&window, &zero);
	struct flow *flow;

	if (!open || !packet)
		return 0;
	flags = recorded_flags(packet->tcp_flags);
	fresh.first_ns = packet->now;
	key.window = *open;
	key.source = packet->source;
	key.destination = packet->destination;
	key.protocol = packet->protocol;
	if (packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP) {
		key.source_port = packet->l4.source_port;
		key.destination_port = packet->l4.destination_port;
	}
	flow = bpf_map_lookup_elem(&flows, &key);
	if (!flow) {
		/* Another processor may be first: then its entry is the one. */
		bpf_map_update_elem(&flows, &key, &fresh, BPF_NOEXIST);
		flow = bpf_map_lookup_elem(&flows, &key);
		if (!flow) {
			record_loss(key.window, eni);
			return 0;
		}
	}
	flow->last_ns = packet->now;
	__sync_fetch_and_add(&flow->packets, packet->count);
	__sync_fetch_and_add(&flow->bytes, packet->bytes);
	if ((flow->tcp_flags & flags) != flags)
		__sync_fetch_and_or(&flow->tcp_flags, flags);
	return 0;
}

#endif
