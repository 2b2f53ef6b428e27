"""The presets, one YAML file each; `settings.load_preset` reads them."""
