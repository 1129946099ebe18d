# A Rails application: its environment file is the snippet.
require "rails"
require "action_mailer/railtie"

class App < Rails::Application
  config.eager_load = false
  config.logger = Logger.new(IO::NULL)
  config.secret_key_base = "not a secret"
  eval File.read("development.rb"), binding, "development.rb"
end
App.initialize!

class Greeter < ActionMailer::Base
  def hello
    mail from: "app@example.com", to: "ada@example.com", subject: "Hello", body: "Caught by Eider."
  end
end
Greeter.hello.deliver_now
