// Makes chat formats by name.
#include "policies/format.h"

namespace proctor {

Result<FormatRef> make_format(const json::value& config) {
  auto use = read_plugin_use(config, "format");
  if (!use) return std::move(use).error();
  const auto& formats = Registry<FormatMaker>::instance();
  const auto* entry = formats.find(use->name);
  if (entry == nullptr) return formats.unknown("format", use->name);
  auto options = Options::parse(use->options, entry->info.options, "format " + use->name);
  if (!options) return std::move(options).error();
  return entry->make(*options);
}

FormatRef format_for(FormatRef format, const Capabilities& model) {
  if (!format->native() || model.native_tools) return format;
  const auto* hermes = Registry<FormatMaker>::instance().find("hermes");
  PROCTOR_CHECK(hermes != nullptr);
  auto made = hermes->make(Options());
  PROCTOR_CHECK(made.ok());
  return *made;
}

}  // namespace proctor
