from socketify_mw import Get, Post

routes = [
    Get("/", "HomeController@show").middleware("auth").name("home"),
    Get("/login", "LoginController@show").name("login"),
    Post("/login", "LoginController@log_in").middleware("throttle:5/minute"),
    Post("/logout", "LoginController@log_out"),
]
