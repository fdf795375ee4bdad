"""What streamclient needs of a project's settings."""

INSTALLED_APPS = [
    # ...
    "streamclient.integrations.django",
]

STREAMCLIENT = {
    "OPTIONS": {"model": "nova-3", "smart_format": True},
    "PLUGINS": ["log"],
}
