// What proctor is told by slots, zygotes and live sessions: any messages in any order leave nothing
// open that nobody owns, and a session's word goes no further than it may.
//
// Input: messages, each behind a byte for its descriptors, one for what the session is doing and
// two for its length.
#include "sandbox/hear.h"
#include "tests/fuzz/datagram.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace proctor;
  static Datagrams datagrams;
  static wire::Packet packet;
  static asio::io_context context;
  static const WatchedFd first(context);  // the context opens what it needs
  const int before = lowest_free();
  {
    Slot slot(context);
    Guest guest(context), session(context);
    int cells = 0;
    for (std::size_t at = 0; at + 4 <= size;) {
      const int n_fds = data[at] % 65;
      const Hearing hearing{(data[at + 1] & 1) != 0, (data[at + 1] & 2) != 0,
                            (data[at + 1] & 4) != 0};
      const std::size_t length =
          std::min<std::size_t>(data[at + 2] + 256U * data[at + 3], size - at - 4);
      at += 4;
      if (datagrams.pass(data + at, length, n_fds, packet)) {
        hear_session(session, packet.message, hearing);
        cells += hearing.in_cell;
        hear(guest, packet.message);
        (void)hear(slot, packet);
        packet.close_fds();
      }
      at += length;
      if (session.cells_done > cells) does_not_hold("a cell is through once");
      if (session.failed || session.pid != 0) does_not_hold("a session says nothing of processes");
    }
  }
  if (lowest_free() != before) does_not_hold("nothing is left open");
  return 0;
}
