// Programs that may reach some hosts, in every world: real clients against real servers of this
// machine's loopback, and the ways round the list. Names are looked up in a table of the test's.
#include <gmock/gmock.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>

#include "tests/integration/sandbox/attacks.h"
#include "tests/support/plain_server.h"

namespace proctor {
namespace {

using testing::HasSubstr;
using testing::Not;
using Outcome = NetworkConnection::Outcome;

// Where names lead, one answer after the other and round again; and who was asked for.
class Names {
 public:
  using Addresses = std::vector<std::string>;

  std::map<std::string, std::vector<Addresses>> table;

  Result<Addresses> look_up(const std::string& host) {
    const std::lock_guard lock(mutex_);
    asked_.push_back(host);
    const auto found = table.find(host);
    if (found == table.end()) return unavailable("there is no such name");
    return found->second[turns_[host]++ % found->second.size()];
  }
  std::set<std::string> asked() const {
    const std::lock_guard lock(mutex_);
    return {asked_.begin(), asked_.end()};
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> asked_;
  std::map<std::string, std::size_t> turns_;
};

class Network : public Attacks {
 protected:
  void configure(SandboxConfig& config) override {
    config.look_up = [names = names](const std::string& host) { return names->look_up(host); };
  }
  static std::vector<AllowedHost> hosts(const std::string& list) {
    auto read = read_limits(json::object{{"network", "allow:" + list}});
    if (!read) throw std::runtime_error(read.error().message);
    return read->network;
  }
  static std::string place(const PlainServer& server, const std::string& host = "127.0.0.2") {
    return host + ":" + std::to_string(server.port());
  }
  Execution with(const std::string& list, Language language, const std::string& code) {
    ExecutionRequest request;
    request.language = language;
    request.code = code;
    request.limits.network = hosts(list);
    return run(std::move(request));
  }
  // In the reduced world it is refused, in words.
  bool is_refused() {
    if (!reduced()) return false;
    ExecutionRequest request;
    request.limits.network = hosts("example.test");
    for (const Language language : {Language::python, Language::cpp}) {
      request.language = language;
      auto ran = await(pool->run(request));
      EXPECT_FALSE(ran);
      if (ran) continue;
      EXPECT_EQ(ran.error().kind, ErrorKind::missing);
      EXPECT_THAT(ran.error().message, HasSubstr("network namespace"));
    }
    auto opened = await(pool->open_session(Language::python, request.limits));
    EXPECT_FALSE(opened);
    return true;
  }

  // What attacks are given: hosts that are allowed, and servers that are or are not theirs.
  struct Field {
    PlainServer allowed{"allowed", "127.0.0.2", 0};
    PlainServer forbidden{"forbidden", "127.0.0.1", allowed.port()};
    std::string list;
  };
  // Port 443 of it is no other test's, of which some run at once.
  static std::string own_host() {
    const int number = getpid() % (200 * 200);
    return "127.1." + std::to_string(number / 200) + "." + std::to_string(number % 200 + 1);
  }
  std::unique_ptr<Field> make_field() {
    auto field = std::make_unique<Field>();
    const std::string port = ":" + std::to_string(field->allowed.port());
    field->list = "127.0.0.2" + port;
    const std::vector<std::string> inside = {"10.0.0.1",
                                             "169.254.169.254",
                                             "::ffff:127.0.0.1",
                                             "64:ff9b::7f00:1",
                                             "2002:7f00:1::",
                                             "fe80::1",
                                             "::1",
                                             "fc00::1",
                                             "0.0.0.0",
                                             "100.64.0.1"};
    for (std::size_t i = 0; i < inside.size(); ++i)
      names->table["inside" + std::to_string(i) + ".test"] = {{inside[i]}};
    names->table["allowed.test"] = {{"127.0.0.2"}};
    names->table["both.test"] = {{"127.0.0.1", "127.0.0.2"}};
    names->table["rebound.test"] = {{"127.0.0.2"}, {"127.0.0.1"}};
    for (const auto& [name, addresses] : names->table) field->list += "," + name + port;
    names->table["rotten1.test"] = {{"127.0.0.1"}};
    names->table["tls.test"] = {{own_host()}};
    return field;
  }
  ExecutionRequest attack_on(const Field& field, const std::string& guest) {
    ExecutionRequest request = attack(guest, {std::to_string(field.allowed.port())});
    request.limits.network = hosts(field.list);
    request.limits.wall = 60s;
    return request;
  }

  const std::shared_ptr<Names> names = std::make_shared<Names>();
};
IN_EVERY_WORLD(Network);

TEST_P(Network, IsWhatTheListNamesAndIsWrittenDown) {
  if (is_refused()) return;
  const PlainServer server("here", "127.0.0.2", 0);
  names->table["name.test"] = {{"127.0.0.2"}};
  const std::string list = place(server) + "," + place(server, "name.test");
  const std::string url = "http://" + place(server, "name.test") + "/a?b";
  const Execution ran = with(list, Language::python,
                             "import urllib.request\n"
                             "print(urllib.request.urlopen('" +
                                 url +
                                 "').read().decode())\n"
                                 "try: urllib.request.urlopen('http://other.test')\n"
                                 "except Exception as error: print(error)");
  EXPECT_THAT(ran.out, HasSubstr("here: GET /a?b HTTP/1.1\r\n")) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("Host: " + place(server, "name.test")));
  EXPECT_THAT(ran.out, HasSubstr("403: other.test:80 is not among the allowed hosts"));
  ASSERT_TRUE(ran.network);
  ASSERT_EQ(ran.network->connections.size(), 2U);
  const NetworkConnection& first = ran.network->connections[0];
  EXPECT_EQ(first.host, "name.test");
  EXPECT_EQ(first.port, server.port());
  EXPECT_EQ(first.address, "127.0.0.2");
  EXPECT_EQ(first.outcome, Outcome::ok) << first.why;
  EXPECT_GT(first.bytes_out, 50);
  EXPECT_GT(first.bytes_in, first.bytes_out) << "all of it comes back";
  const NetworkConnection& second = ran.network->connections[1];
  EXPECT_EQ(second.outcome, Outcome::refused);
  EXPECT_EQ(second.why, "other.test:80 is not among the allowed hosts");
  EXPECT_EQ(second.address, "");
  EXPECT_EQ(names->asked(), std::set<std::string>{"name.test"});
  // The next run has none, and finds nothing of it.
  const Execution next = python(
      "import os\nprint([n for n in os.environ if 'proxy' in n.lower()])\n"
      "print(len(open('/proc/net/tcp').readlines()))");
  EXPECT_EQ(next.out, "[]\n1\n") << next.err;
  EXPECT_FALSE(next.network);
}

TEST_P(Network, UsualClientsFindTheirWay) {
  if (is_refused()) return;
  const PlainServer server("here", "127.0.0.2", 0);
  const std::string url = "http://" + place(server) + "/";
  const Execution curl =
      with(place(server), Language::bash,
           "curl -sS " + url + "curl; curl -sS -d body " + url + "post; curl -sS -p " + url +
               "tunnel; curl -sS -T /etc/services " + url + "put | tail -c 20; curl -sS -I " + url +
               "head");
  for (const char* said :
       {"GET /curl HTTP/1.1", "POST /post HTTP/1.1", "body", "GET /tunnel HTTP/1.1", "200 OK"})
    EXPECT_THAT(curl.out, HasSubstr(said)) << curl.err;
  // pip's own client, which is what most others are.
  const Execution pip = with(place(server), Language::python,
                             "import sys\nsys.path.insert(0, '/usr/lib/python3/dist-packages')\n"
                             "from pip._vendor import requests\ns = requests.Session()\n"
                             "for i in range(3): print(s.get('" +
                                 url + "' + str(i)).text)");
  for (const char* said : {"GET /0 HTTP/1.1", "GET /1 HTTP/1.1", "GET /2 HTTP/1.1"})
    EXPECT_THAT(pip.out, HasSubstr(said)) << pip.err;
}

TEST_P(Network, OnlyWhatIsNamedAtOnesOwnLoopbackIsTheHosts) {
  if (is_refused()) return;
  const PlainServer server("here", "127.0.0.1", 0);
  const std::string code =
      "import http.server, threading, urllib.request\n"
      "class Mine(http.server.BaseHTTPRequestHandler):\n"
      "  def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b'mine')\n"
      "s = http.server.HTTPServer(('127.0.0.1', " +
      std::to_string(server.port()) +
      "), Mine)\n"
      "threading.Thread(target=s.serve_forever, daemon=True).start()\n"
      "print(urllib.request.urlopen('http://127.0.0.1:" +
      std::to_string(server.port()) + "').read())\n";
  EXPECT_EQ(with("name.test", Language::python, code).out, "b'mine'\n");
  EXPECT_EQ(server.connections(), 0);
  EXPECT_THAT(with(place(server, "127.0.0.1"), Language::python, code).out, HasSubstr("here: GET"));
  EXPECT_THAT(with(place(server, "localhost"), Language::bash,
                   "curl -sS http://localhost:" + std::to_string(server.port()))
                  .out,
              Not(HasSubstr("here: ")))
      << "the test's table has no localhost";
  names->table["localhost"] = {{"127.0.0.1"}};
  EXPECT_THAT(with(place(server, "localhost"), Language::bash,
                   "curl -sS http://localhost:" + std::to_string(server.port()))
                  .out,
              HasSubstr("here: "));
}

TEST_P(Network, TheListIsNotGotRound) {
  if (is_refused()) return;
  const auto field = make_field();
  std::unique_ptr<PlainServer> tls;
  try {
    tls = std::make_unique<PlainServer>("tls", own_host(), 443);
  } catch (const std::runtime_error& error) {
    return cannot_run("SANDBOX_MUST_WORK", error.what());
  }
  field->list += ",tls.test," + own_host() + ":443";
  const Execution ran = expect_contained(attack_on(*field, "proxy.py"));
  EXPECT_EQ(ran.out, "done\n") << ran.err;
  EXPECT_EQ(field->forbidden.connections(), 0);
  for (const auto& text : field->allowed.received()) {
    if (text.find("HTTP/1.1\r\n") == std::string::npos) continue;  // from a tunnel
    EXPECT_THAT(text, HasSubstr(".test:" + std::to_string(field->allowed.port()) + "\r\n"));
    EXPECT_THAT(text, Not(HasSubstr("forbidden.test\r\n")));
  }
  for (const auto& name : names->asked()) EXPECT_THAT(field->list, HasSubstr(name));
}

TEST_P(Network, ARequestThatChangesUnderWayIsOneThatWasJudged) {
  if (is_refused()) return;
  const auto field = make_field();
  const Execution ran = expect_contained(attack_on(*field, "proxy_race.py"));
  EXPECT_THAT(ran.out, Not(HasSubstr("hardly"))) << ran.out;
  EXPECT_EQ(field->forbidden.connections(), 0);
  EXPECT_EQ(names->asked(), std::set<std::string>{"allowed.test"});
}

TEST_P(Network, HasAnEndInBytesConnectionsAndTime) {
  if (is_refused()) return;
  const PlainServer server("here", "127.0.0.2", 0);
  ExecutionRequest request;
  request.language = Language::bash;
  request.code = "curl -sS http://" + place(server) + "/large?3000000 | wc -c; curl -sS http://" +
                 place(server) + "/large?10";
  request.limits.network = hosts(place(server));
  request.limits.network_bytes = static_cast<Bytes>(1'000'000);
  const Execution bytes = run(request);
  EXPECT_LE(std::atoi(bytes.out.c_str()), 1'000'000) << bytes.out;
  EXPECT_GT(std::atoi(bytes.out.c_str()), 500'000) << bytes.out;
  EXPECT_THAT(bytes.out, HasSubstr("the limit of 1000000 bytes is reached"));
  ASSERT_EQ(bytes.network->connections.size(), 2U);
  for (const auto& each : bytes.network->connections) EXPECT_EQ(each.outcome, Outcome::limit);

  // 100 that say nothing, more than are served at once, and one behind them; then far too many.
  request.language = Language::python;
  request.code =
      "import os, re, socket, time\n"
      "place = re.search(r'//([\\d.]+):(\\d+)', os.environ['http_proxy']).groups()\n"
      "held = [socket.create_connection(place) for i in range(50)]\n"
      "s = socket.create_connection(place)\n"
      "s.sendall(b'GET http://" +
      place(server) +
      "/ HTTP/1.0\\r\\n\\r\\n')\n"
      "begin = time.monotonic()\n"
      "print(s.recv(100)[:15], 3 < time.monotonic() - begin < 8)\n"
      "for i in range(1100):\n"
      "  with socket.create_connection(place) as s:\n"
      "    s.sendall(b'x\\n\\n')\n"
      "    try: s.recv(100)\n"
      "    except OSError: pass\n";
  const Execution many = run(request);
  EXPECT_EQ(many.out, "b'HTTP/1.1 200 OK' True\n") << many.err;
  EXPECT_EQ(many.network->connections.size(), 1000U);
  EXPECT_EQ(many.network->connections[0].why, "no request came in 5 s");
  EXPECT_EQ(many.network->unlisted, 50 + 1 + 1100 - 1000);
}

TEST_P(Network, OfASessionLastsAsLongAsItAndIsToldCellByCell) {
  if (is_refused()) return;
  const PlainServer server("here", "127.0.0.2", 0);
  for (const Language language : {Language::python, Language::bash}) {
    Limits limits;
    limits.network = hosts(place(server));
    limits.network_bytes = static_cast<Bytes>(5000);
    auto opened = await(pool->open_session(language, limits));
    ASSERT_TRUE(opened) << opened.error().message;
    const auto session = *opened;
    const auto get = [&](const std::string& path) {
      const std::string url = "http://" + place(server) + path;
      return language == Language::bash
                 ? "curl -sS " + url
                 : "import urllib.request; len(urllib.request.urlopen('" + url + "').read())";
    };
    for (int cell = 0; cell < 3; ++cell) {
      const auto ran = await(session->run(get("/large?3000"), limits));
      ASSERT_TRUE(ran) << ran.error().message;
      ASSERT_TRUE(ran->network);
      ASSERT_EQ(ran->network->connections.size(), 1U) << ran->out << ran->err;
      EXPECT_EQ(ran->network->connections[0].outcome, Outcome::ok);
      EXPECT_GT(ran->network->connections[0].bytes_in, 3000);
    }
    EXPECT_EQ(await(session->run(get("/large?6000"), limits))->network->connections[0].outcome,
              Outcome::limit);
    EXPECT_TRUE(await(session->run("1", limits))->network->connections.empty());
    EXPECT_THAT(await(session->fork()).error().message, HasSubstr("with a network"));
    ASSERT_TRUE(await(session->reset()));
    const auto again = await(session->run(get("/large?10"), limits));
    EXPECT_EQ(again->network->connections.size(), 1U) << again->out << again->err;
  }
}

TEST_P(Network, EndsWithItsRun) {
  if (is_refused()) return;
  const PlainServer server("here", "127.0.0.2", 0);
  ExecutionRequest request;
  request.code =
      "import os, re, socket, time\n"
      "place = re.search(r'//([\\d.]+):(\\d+)', os.environ['http_proxy']).groups()\n"
      "s = socket.create_connection(place)\n"
      "s.sendall(b'CONNECT " +
      place(server) +
      " HTTP/1.1\\r\\n\\r\\n')\n"
      "print(s.recv(12)); time.sleep(60)";
  request.limits.network = hosts(place(server));
  request.limits.wall = 1s;
  const Execution ran = run(request);
  EXPECT_EQ(ran.ending, Ending::wall_limit);
  EXPECT_EQ(ran.out, "");  // was never flushed
  ASSERT_EQ(ran.network->connections.size(), 1U);
  EXPECT_GT(ran.network->connections[0].ms, 500);
  for (int i = 0; i < 100 && server.received().empty(); ++i) usleep(20'000);
  EXPECT_EQ(server.received().size(), 1U) << "the connection is still there";
  // A compiler has none.
  names->table["name.test"] = {{"127.0.0.2"}};
  request.language = Language::c;
  request.code =
      "#include <stdlib.h>\n#include <stdio.h>\nint main() { puts(getenv(\"http_proxy\")); }";
  const Execution c = run(request);
  EXPECT_THAT(c.out, HasSubstr("http://127.0.0.1:")) << c.err;
}

TEST_P(Network, ManyRunsAtOnceHaveTheirOwnAndLeaveNothingOpen) {
  if (is_refused()) return;
  const PlainServer one("one", "127.0.0.2", 0), two("two", "127.0.0.2", 0);
  const auto open_files = [] {
    const std::filesystem::directory_iterator files("/proc/self/fd");
    return std::distance(begin(files), end(files));
  };
  const auto run_all = [&] {
    std::vector<Async<Result<Execution>>> runs;
    for (int i = 0; i < 20; ++i) {
      ExecutionRequest request;
      request.language = i % 4 == 0 ? Language::bash : Language::python;
      const std::string own = place(i % 2 ? two : one), other = place(i % 2 ? one : two);
      request.code = i % 4 == 0
                         ? "curl -s http://" + own + "; curl -s http://" + other
                         : "import urllib.request\nfor p in '" + own + "', '" + other +
                               "':\n  try: print(urllib.request.urlopen('http://' + p).read())\n"
                               "  except OSError as error: print(error)";
      request.limits.network = hosts(own);
      runs.push_back(pool->run(std::move(request)));
    }
    auto all = gather(std::move(runs));
    const auto ended = await(std::move(all));
    for (std::size_t i = 0; i < ended.size(); ++i) {
      ASSERT_TRUE(ended[i]) << ended[i].error().message;
      EXPECT_THAT(ended[i]->out, HasSubstr(i % 2 ? "two: " : "one: ")) << ended[i]->err;
      EXPECT_THAT(ended[i]->out, Not(HasSubstr(i % 2 ? "one: " : "two: ")));
      EXPECT_EQ(ended[i]->network->connections.size(), 2U);
    }
  };
  run_all();
  const auto before = open_files();
  for (int round = 0; round < 3; ++round) run_all();
  // One slot more may have been made; a file left by each run would be sixty.
  EXPECT_LT(open_files(), before + 40);
}

}  // namespace
}  // namespace proctor
