"""How the admin looks: the theme's settings. What its menu offers: `mssproject.navigation`."""

from typing import Any, Final

from django.templatetags.static import static

UNFOLD: Final[dict[str, Any]] = {
    "SITE_TITLE": "MSS-Login",
    "SITE_HEADER": "MSS-Login",
    "SITE_SUBHEADER": "for ComfyUI",
    "SITE_SYMBOL": "shield_person",
    "SITE_URL": None,  # ComfyUI: named in the menu below
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("mss/icon.svg")}
    ],
    # Every change has its row in the audit log, which tells more than Django's history.
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": [lambda request: static("mss/admin.css")],
    "BORDER_RADIUS": "8px",
    "COLORS": {
        # Indigo, as on the gateway's other pages: Tailwind's.
        "primary": {
            "50": "oklch(96.2% .018 272.314)",
            "100": "oklch(93% .034 272.788)",
            "200": "oklch(87% .065 274.039)",
            "300": "oklch(78.5% .115 274.713)",
            "400": "oklch(67.3% .182 276.935)",
            "500": "oklch(58.5% .233 277.117)",
            "600": "oklch(51.1% .262 276.966)",
            "700": "oklch(45.7% .24 277.023)",
            "800": "oklch(39.8% .195 277.366)",
            "900": "oklch(35.9% .144 278.697)",
            "950": "oklch(25.7% .09 281.288)",
        },
        # The theme's own subtle grey is too pale for small text.
        "font": {
            "subtle-light": "var(--color-base-600)",
            "subtle-dark": "var(--color-base-300)",
            "default-light": "var(--color-base-700)",
            "default-dark": "var(--color-base-200)",
        },
    },
    "ACCOUNT": {
        "navigation": [
            {"title": "My account", "link": "/account"},
            {"title": "ComfyUI", "link": "/"},
        ]
    },
    "SIDEBAR": {
        "show_search": True,
        "navigation": "mssproject.navigation.groups",
    },
}
