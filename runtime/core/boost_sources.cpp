// The one place where Asio's and Beast's separately compiled parts are compiled, which keeps every
// other file quick to build.
#include <boost/asio/impl/src.hpp>
#include <boost/asio/ssl/impl/src.hpp>
#include <boost/beast/src.hpp>
