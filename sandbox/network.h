// Which hosts and addresses a program may reach. No sockets here: only what is decided about them.
//
// A name is matched as it stands, then looked up, and what comes out is judged again: an address
// that is not everybody's on the internet must be in the list itself. Blind spot: an address of
// this machine that a router in front of it translates is taken for any other.
#pragma once

#include <boost/asio/ip/address.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "sandbox/sandbox.h"

namespace proctor {

// "none", or "allow:" and hosts: HOST, HOST:PORT, [IPV6]:PORT, joined by commas.
Result<std::vector<AllowedHost>> read_network(const std::string& text);

// A host as the list has it: lower case, no dot at its end, an address in its one usual form.
std::string usual_form(std::string_view host);

bool is_allowed(const std::vector<AllowedHost>& hosts, std::string_view host, int port);
// Whether the list has the host with this very port.
bool names_port(const std::vector<AllowedHost>& hosts, std::string_view host, int port);

// What kind of address it is, "a private address" say; "" for one of the internet's.
std::string special_kind(const boost::asio::ip::address& address);
// Why a host must not be reached at this address, which is `special_kind` or one of our own; "":
// it may.
std::string why_not(const std::vector<AllowedHost>& hosts, const boost::asio::ip::address& address,
                    int port);

}  // namespace proctor
