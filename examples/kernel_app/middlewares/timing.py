from time import perf_counter

from socketify_mw import Middleware


class Timing(Middleware):
    def before(self, request, response):
        self.started = perf_counter()  # the same object serves `after`
        return request

    def after(self, request, response):
        spent = (perf_counter() - self.started) * 1000
        response.write_header("Server-Timing", f"app;dur={spent:.2f}")
        return request
