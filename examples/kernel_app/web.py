"""The routes of the application."""

from socketify_mw import Get, Route

routes = [
    Get("/", "FeedController").name("home"),
    Route.group(
        Get("/", "DashboardController@show").name("show"),
        Get("/settings", "DashboardController@settings").name("settings"),
        prefix="/dashboard/@user_id",
        middleware=["members"],
        name="dashboard.",
    ),
    Route.redirect("/feeds", "/"),
]
